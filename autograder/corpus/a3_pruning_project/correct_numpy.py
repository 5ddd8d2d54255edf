"""NumPy arrays in and out, and other algorithms."""

# %% scores
import numpy as np


def magnitude(weight):
    return np.abs(np.asarray(weight, dtype=np.float64))


def taylor(weight, gradient):
    return np.abs(np.asarray(weight) * np.asarray(gradient))


def obd(weight, curvature):
    w = np.asarray(weight, dtype=np.float64)
    return (np.asarray(curvature, dtype=np.float64) * w**2 / 2).tolist()


# %% prune_mask
def prune_mask(scores, sparsity):
    import numpy as np

    values = scores.numpy().ravel()
    k = int(np.rint(sparsity * values.size))
    mask = np.ones(values.size, dtype=bool)
    if k > 0:
        threshold = np.sort(values)[k - 1]
        mask[values < threshold] = False
        ties = np.flatnonzero(values == threshold)
        mask[ties[: k - (~mask).sum()]] = False
    return mask.reshape(scores.shape)


# %% make_masks
def make_masks(scores, sparsity, scope):
    import numpy as np

    def threshold(values):
        count = int(round(sparsity * values.size))
        return np.partition(values, count)[count]

    arrays = {name: score.numpy() for name, score in scores.items()}
    joined = np.concatenate([array.ravel() for array in arrays.values()])
    return {
        name: array >= threshold(joined if scope == "global" else array.ravel())
        for name, array in arrays.items()
    }


# %% cubic
import numpy as np


def one_shot(step, final, at):
    return np.where(step >= at, final, 0.0)


def iterative(number, rounds, final):
    return -np.expm1(number / rounds * np.log1p(-final))


def cubic(step, initial, final, begin, end):
    left = np.clip((end - step) / (end - begin), 0.0, 1.0)
    return final + (initial - final) * np.power(left, 3)


# %% train_masked
def train_masked(weight, mask, inputs, targets, steps, rate, momentum):
    import numpy as np

    w = weight.numpy().astype(np.float64) * mask.numpy()
    x, y = inputs.numpy().astype(float), targets.numpy().astype(float)
    v = np.zeros_like(w)
    for _ in range(steps):
        gradient = (2.0 / y.size) * (x @ w.T - y).T @ x
        v = momentum * v + gradient * mask.numpy()
        w = np.where(mask.numpy(), w - rate * v, 0.0)
    return w


# %% sensitivity
def sensitivity(model, masks, inputs, labels):
    import copy

    import numpy as np

    def score(name, mask):
        twin = copy.deepcopy(model)
        with torch.no_grad():
            twin.get_submodule(name).weight.mul_(torch.as_tensor(mask))
            guess = twin(inputs).numpy().argmax(axis=1)
        return np.mean(guess == labels.numpy())

    return {name: [score(name, mask) for mask in choices] for name, choices in masks.items()}


# %% shrink_conv
def shrink_conv(state, keep):
    import numpy as np

    axis = {"conv2.weight": 1, "conv2.bias": None}
    return {
        name: value.numpy()
        if axis.get(name, 0) is None
        else np.take(value.numpy(), keep, axis=axis.get(name, 0))
        for name, value in state.items()
    }


# %% shrink_flatten
def shrink_flatten(weight, keep, positions):
    import numpy as np

    columns = np.asarray(keep)[:, None] * positions + np.arange(positions)
    return weight.numpy()[:, columns.ravel()]


# %% bitmask_bytes
import math

import numpy as np


def bitmask_bytes(count, nonzeros, value_bits):
    return math.ceil(count / 8) + math.ceil(nonzeros * value_bits / 8)


def relative_bytes(weights, index_bits, value_bits):
    places = np.flatnonzero(np.asarray(weights))
    gaps = np.diff(places, prepend=-1) - 1
    entries = len(places) + int(np.sum(gaps // 2**index_bits))
    return sum(math.ceil(entries * bits / 8) for bits in (index_bits, value_bits))


# %% code_lengths
import heapq


def code_lengths(counts):
    heap = [(c, i, None) for i, c in enumerate(counts) if c]
    heapq.heapify(heap)
    number = len(counts)
    while len(heap) > 1:
        a, b = heapq.heappop(heap), heapq.heappop(heap)
        heapq.heappush(heap, (a[0] + b[0], number, (a, b)))
        number += 1
    lengths = [0] * len(counts)

    def walk(node, depth):
        if node[2] is None:
            lengths[node[1]] = max(depth, 1)
        else:
            walk(node[2][0], depth + 1)
            walk(node[2][1], depth + 1)

    for node in heap:
        walk(node, 0)
    return lengths


# %% codewords
from fractions import Fraction


def codewords(lengths):
    codes, start = [""] * len(lengths), Fraction(0)
    for bits, symbol in sorted((b, s) for s, b in enumerate(lengths) if b):
        codes[symbol] = format(int(start * 2**bits), f"0{bits}b")
        start += Fraction(1, 2**bits)
    return codes


def decode(bits, codes):
    tree = {}
    for symbol, code in enumerate(codes):
        if not code:
            continue
        node = tree
        for bit in code[:-1]:
            node = node.setdefault(bit, {})
        node[code[-1]] = symbol
    symbols, node = [], tree
    for bit in bits:
        node = node[bit]
        if not isinstance(node, dict):
            symbols.append(node)
            node = tree
    return symbols


# %% compressed_model
import base64


def recipe(network):
    return prune.prune_model(network, 0.9).model


def compressed_model():
    # 50 and 40 neurons, with a Huffman code instead of an arithmetic one: bytes of a file
    # that a recipe like the notebook's wrote
    return base64.b85decode(
        "=m7u#00000dm>+7ZDn*}WMOn+Utc0Rdm>|Rb#ilMUu<b&E@N+GWn&^bA~7H}F*G$WI5=b?eJmnoV=*pb"
        "X<>6CV{c?-WFk6yB4l)VaAhJoB2_pdEFyDgVQ^(4I$JR?I9)6vWMOn+UvFk+b7gdMB05_zEHN-RU41Mf"
        "W@9lfcV%g3XmlfEZ)9a;B075_WOR9OWg<EvRX8FnB6DbAaAhJoTQxK|GhHkqWMOn+UvFk+b7gdMB05_!"
        "FgPqVH90X|eJmnoV=^vcX<>6CV{c?-WFk6yB4l)VaAhJoB2_pdEFyDgVQ^(4I$Jn6T`VGGVRT_%Z)Rq5"
        "Wpr~QI$Je0IWa6XHa9t4eJmnoV=^vxWoc(<bR%PLWMyO`I(s5yba`-PB03^fI3g?}b7*03Wg<FTG&V9_"
        "EFxrKbYWj_W@d9`baNs)TQxQ}IV?6YG%;O$EFxxOGcICjVRIv6Z)9a;B075_WOR9OWg<EvRX8FnB6DbA"
        "aAhJoTQWFZEFxrKbYWj_W@d9`baNs)TQ)H?F)TJQHaT5=EFxxOGcI>!X=iA3BV%u5Wn>~cdm?0Xd2nSS"
        "IwDm#A}k_vXkl<=B05_!GdNu=B4lB7VP9`%W^-k9b0RuhHZe9iEH*PRH(h;w0099q00000)TK|c;3s3M"
        "bStBzil&b*^sff2%&lLsBB|G|*RYQ&hpou4O0LHtxU2TC-lYN|53f9)G^$uHVi|C#!=+FtBC9p8W+s<_"
        "y(&R5mMFz3b)pifd!)0aaw##O;i+e>rKgyn009Cr0000G0{{R61`!?r00Ha@000RHLX@U4jAIz*InHz("
        "=t2;MDN0(})+tM40I(@*U=+nMjAIzK0f&SEcmaO_Z2@2bbpdJtwE*=e!Q?D+3zRj;k-icdU1$eX0M9f4"
        ")nWoRL<kicEQ04LRc?qFZ7_B$c3sgi<@V*ae@}zy4_on`TkG1@9kWNBe)G04`8z=a8$wKP2s50Jf@2IJ"
        "6fn_pEvhB1LIF+07dItw!;7X3@LMiFO*1c8ja@&F=sm!DAWAxk32ayfw175*fN^pMRG_kRvJwbx$ej8^"
        "_?&5J__Lb&%IoYlz6tYg8E2WBWw@Jkyjy{%LOpm1H?R;iM1=-|MMUW+9uQ^D2qt)f3XRf=2FPGNOZ+t2"
        "XZn5Xvy|lcnfi2n6<tKb!RwLs^yQW|%JZW?=R4a2NF|nFLC^^}pg_fB5LYlox{IBfxr*_3_~hGxp~U?!"
        "@dx+IsSuFX1>iP~O+_lY>N@~BfDT{=wU>L7<O8We-iMRw?sJnI`u+xeHSmDfFgm~<#CrAmM}?h1?*Z~U"
        "RiVrSi+~*f4YC3Z+>6%(yoazJz|sv3{`&vUt)EPh=DhgP`~D~Al;OKkm;lsdA*rFsYjYv&5Y3<<wPyhX"
        "djd|Nqq$C?rdFA$WYZ^X>df|(eLYv1XL#l%<JaIi3L9N%=$f}xmp4&%k}WC3NMuIA-U3z|sG!>AqB<R9"
        "Ok)B<=7NI8!b+Y7M_~~j!n{fjsJDFk`t|<&n>sB6WimA+!*+dSMJs|6QMm*=0$iyC*`*+xYe*)xk{ULq"
        "yI(fkv{@>hTeZ&yji>gHU%hz<b&wtjI{70?&m>AtAO$%>&69qmk<<b^ffk0a5W`iGjf$LZrcYr_@fOj<"
        "Gbpt=39+?RhRZ^n04dZy4`0X7?SWrEkM)=BMCZ!xtB$M#$b-a&pezkQP#Pc-12Vt?%pwk~xJlmO)t7C0"
        "Mg!MJ-@+B;BSfvCds{J=e}9SdE?EIQ=_%)FeIt0PA;2YOlo=U@p^z5<&;SQC0X=|oVLU_mUN~TXczl#2"
        "Q}Xp@dZI_THMi0E-!2l@3=Jlj8MTnpSq?EHgCKHY*<+RHzJOi~buIp7Do!;VSx7(QrbFbMIYU0CU2>;e"
        "$i%oVPbJ9fMLUv*DH2_{fimV8bTD|4;zu?|TLyzj8a5AT2axue|6g9eesA!|_P1&Ge2;L$FaVll00Kq="
        "-~$%00irMgq>6Kh0Nk-4L4;-i-td6tpd9~~t|Uj1)pA@gfnLNxl$R%(P(*S}r7YxxB`mF#N5_i0qT$lO"
        "=*}FOkG%i=9A5&tMyCbpIWJzo<WLT20s5H{5s?V?vsul-q+-UEGov_l$cXkUC9WGSf^=0`r8SJytl3#Q"
        "YbDiMmv3RSWoFET0!#vA6BvcK<)c;aD0_q680QjSdZaNa5$pc`pCs{_JTjRY&7{KZQZv>8*aUV29fX#-"
        "g@$fXNSwb2=<PJgtndH3e^N2sUjDzd0rmKtf&k_KlyV9oqhK^Lk`HAy*?l2;c#czp8jCxC_5i+^oV1ww"
        "eCgyD;01U-mFx9<rY_hdP}(k|Y4|=N`JEZMYUa_*$g3C4V5s2$PaqIOP=GoCE>Iw0ph%&hUgo1LYGP@#"
        "5^yXBdHf@2y-KEH6Ql^dWS|zvFe^~Q83@Z54kG~@=tIDUI0#*xgaAe_5K7T>*w+%KhGk*SmpjFo>b&`r"
        "qJd{beKOY#Z0$C=w!ls<0E5@``uy+gQZ{Y|dWn5~b_+QGq_%@b;ubnVLwP`e+AK`F)tk7|L2gtOM`{Mz"
        "fvhe7*n*(v7atzC3-k)^`7>KmtaD6JURB<n!6TeNf!s??N0=krh|@tFWFX?8Lb+_=j(R>{ADSM$exLii"
        "Q(YF{{Wy8x#f{B|Qv@<bfE{cOf`+&OwqOMEkRu%;DZv(=4Y=N((b;5n`}O=_;SrGAk(_g7ZH5%J2+p(v"
        "4kenerW12EXreC2!PSRm9~RE`EG%>Y9RLR~0LL(PCUejmRlplX;64vu)%1G@+4t{P{9jG1VA&{GIg<d("
        "AwxA-lxUTQA|(Lap#a@NK<Ypq&>t^rwaX`AZx3B-u1M-2j-Uf-0+4PH%Vqn%ujbRv$oL$zV(}Vtm1JJ+"
        "fhq{A04^+0G)$HnmIpP`1H=mdhp;D1$d9jI+V2#3`ult(T#1)JCD00B$q1$l8IlFrkO7`l22FVY02%-Q"
        "48R2=K(ZCBvMtevIAHF_oOt!?A4VMhop3UMg5vN1Fwp?a$Ov&j1Dt>zkOrI#rn0l+{@w{^eOWpg(1h8R"
        "_kSMeuV0iAS7-s7B3Z!Ia-ik)QT*933+j*(YEV}Ig4_X{a0R-8+Mrq372KJ9w}-DgbH~50!}vU~);Db$"
        "o1-f>)dlrgF4Ug%S(c(k6>%dlDI-v_M#9uNA%5L8{y!93O$)&k&3Om8@I8Ls7<PU-bTe}rGekST`HqBp"
        "K+V8yHE02FsfCC|v{^rma%gjpkOtWV?g~IQ0)emq2;L9@{@%KWkb3}k0oVn|%m5SA1Q*y4ENl=gZa~9$"
        "g+2q^cCs9@?}yT1Jy7ru71k^MpO@dSS*jcy^wS4)OSxl}gq)QMYl!^$-?!@=*OQPe=K`T;U`sYo8=4Kw"
        "!;HY)kUHEuW8>Fz$UFe<4*=UxZJ;HQm`YbN6ELxuzIjeeHDT{k1K1JV2EzbzU~6?iWZnjC<Y|)aQl8}H"
        "$o_u_e=T}%&Cc20BBt3Ub0AXr6e_JkAP#l{6`bBhS^&_X5GxF$O7mRm(8}`BzE*TbHkp&)j+h`|jAUG!"
        "i!w#+ljI)ZoQ#HaEq}E=(;Js#@U!IkI>m;#U8@U2Fu7)f1)F4oKD7y}>KJH{IHUk<xG#HQrLlY~OxT{K"
        "LDVz3gf}NNmXQpAV}MR^69Erj)9ic|#S-l{b&rL)-ipo_r8{KT43krX7J?Ztlp3r|2Bj4-wtY=8n~>7s"
        "0C4~gX#<R}_a41+_XoK?P4GzL@G=0rhyVij7A>YgMz){>C9(hvud7RbPOKeYaHo~ob544q^(Vojfvu%s"
        "wjaya_dS27uUx9Un+LoDE?~a|_yFzz?tndncMv<K8fXEgujcjf*a2<;5nG18lKgM4Pqy5ffBp6NakO+&"
        "MH$|heLhVz#z47@;-EW#W)J{1007tk4uJLRNGRw49Y77uwp)XJ&oDb$94xylMWT$2R?(>VK1tkM=FR6Z"
        "pa~#q1rRk0AqK_K!$Y*wu!GF3^||f^a{*#DDij?>-9pB}0V8N6QOQD@T4YO|h&iOAnl5J{nY?V&rJ^HQ"
        "9wp<W>wwRczj?E~5Iu*kt4Cl&90{?&AtAU(5#+yLqRQ1G!gCO~+?3~<@MW^bdSK5yA1QpkUNWc4x6Hd-"
        "eERjr==yC>02V7iVa<`(2Z=f~=8BuN1XLhvz~ve^7>0OwK2ViZ7zC=I&|-r^nHwZ~hqyg{(eoddA!-_e"
        "=nX~?8Vry&%z@D;8(Ab0)Ubq`NJ`uba<i^-<+H^Zr!<})ezfn{`4@YB@qb`IHvm^aEzdsq{T~DI*?q75"
        "o@?a~z7)f<@250cTgw-Y0MsA=D&PPSpa2d61b5h9*Zv+POQ04F!jv{hz|;sX%nD_pVr<evSkx4UVO_~b"
        "ATym;(=W=+{&Mcum+O=3+nb024n^bR*X<tA1W3>T0A>IJ48Q<ae`EuT0C0v3@O+-uezosjuKWKe@$~cd"
        "Z^!@!-~a~z000v(+A`oYP_HGkw6(Li0VN6m02qid41iw&RsmT7W&u|LPytv0q5$qBkdkbj-8F4!uGY(L"
        "&3ZR%**31tL-M(+IN$BA!Napm$mHPLa2xX{8)?SO?QVuv>uRo000{_nQLV199g&^3H0$^qI^+naFzzQv"
        "PB?82CC#rL#C13V*aYI#;I{JdYam(@LPNMDoJh0@TDHk5yDfv9w%a;i%Ggbo)15+7t%r9`Cvn|^4Ubz%"
        "YeL<tcEVcP*jn*Zm0NAATO^l$){ueMe!bF84*&W{6aVa+{>|(<>2}~#mRBvD=GySkTELP*bQ^6})wbJh"
        "P-k1gYt^-o=GaaF%<emn_V;nz?DQn=s*)WtcTCa%Nuy@Pc7(RIt&$U@0Fdq{5FmF*4enj7SAYIpzyJSb"
        "S8v&Ku7^Sdl1>RAbP2%;LUSaPTWz(rxmvcZ&4sYFxm}vAlBwKDB&Ts9!2^yC;#ntm7ddsg-q&qiwp#6y"
        "0<(zF;!csas>KBfEvlRisLw*$LY!<)?${uAa?_-fx~h^ut|U9Egs5>Ps*<glh_YPTtEW3)U=FMTThVt_"
        ";z?`>D%f!vxttqjuJ*}ob%42S;b;?WNl7NzWQP*2uz@9XoE;?MLP-FGfy5(fv@NaMy0>}-xzyrNp*E7v"
        ">zG5XvJiEFA)6rzu<0VNDpi)#m9?!cw)L!la1fjvcLasD(8Qh4kO%-t(B{ayGOo*>cGY>zR<Kf3&@9~?"
        ";z-bqrK;MCR+}-KFLaT>cL#KDbbw21de!N{86e0IkR%QyI9naHYTIkJ)wOcxe#+L@E^@WCYO9*Hb6aiV"
        "+AC;K4mc!=wzXIt&9V)(q#?;64!TY)I!<Rv3xkOzZ8!_Hs@m+ke#>gruGy_?oo%hQwzk`lwUS9Bl1LrU"
        "-~i<vcGk7D=mB66LP;&|=^}R>EQEys4v-`|NOwf;>Zf-y2uh$N0sufDcK`rM#O@(%D{N}A7Sck5I10!C"
        "*;@mhw_04)wz(?U<qXkQuGP)0c4c;JZMCOKBv4Cjwasl;W&QfwYqri+wOXp%ZLM>*tZiMl<l|>GZ%HEe"
        "5aK{Pq@CT|KmdW#Kp`aHfJ3+>vH=OfA=Z<Nvp4A>D($67y^&4uw6!B)X-3`%5(I%HfjU45C`960TW!N@"
        "UAAqu)zw<LwPcb>B$7!al1Oxn2?p2_1SEu(NhIb;AhH1@oH78*+ytH7z;{UwvRg@)TO?NGZMBhfgp-Cz"
        "AtaJXB$7!al1U_h9SU^odT<PZB&;2@umAe*|NmzH|Ii=w2ys~?2uaZEAV>rYI4^KpU6mo+5<)^8aCb=~"
        "2n}kxX4PG7T60Mm3`KQl|Lb<yR<7G*jU<vVB$47nj%4CVAgzS%Rcm0jq$J>4OGOQ*bLk)`1;9xpyFlmw"
        "gja6kf^YY`xVvlJ#%sNSE1K`owaW^y576UfJD^5MB$7!al0YPicN`L1wVX-6Iuh@;O~2_b|Ipw4&i&n;"
        "weGCi-sx?&*^|39f<cN$TG&Pqga{F8!B(<cTPtG7@gxZ(l1Kpw2n9H+T~?~L?De}n8*A+)w%XfU-Ibly"
        "R;P4ZwY}Wi%~p^8%$see0|`1(Nz<v_BqZ)6JG+8FB$nH4wR+oWEo_o3hd?3~Y8)+d0$0*U{q6ey*(1H?"
        "@7>c5Yygr32y|OW5D6f6bpjF+bdq$0fE~oAcXYdBxUc{J<$wSG|J!YL-rH@jL#=^jZMCYl+ij}1HoDf<"
        "+U0F(wX0gyR@SQ3t!=AYmfEruk{#2CcX7u~JGk!SxFG|$4(T`!ih}I6+PiISwN<v;YPQ<i+R5BoXB{hP"
        "JBK8P5q7*ubj|LI1zOXi>f2etzw>Hw-}`KwFaFP0Y@<l9l7I_sw%V<#wc6U%cDC0lsT*asQrK_-)1(O7"
        "0N6W#EmqkBi2++`PVS3sr*vCwRc*DaZEBJSbe4cgYgXE}wryK$`C6`ZZEaO+T&lZm`l_q8+S0Xcp$Ksx"
        "5&%PkySU&2LL3}-cS0O@aU>xCkct^j<s~g_D$465gn?B6JG;AyP~hOTyJf2#|NsBL+qVDz|JK)U+KX)="
        "Y7?LU1R(>72uUah96|&;yQCzL2_y(WIJLIOLN@RLC0f}I7dF|&+yDPa|NsB&%fDtwLzFv?LJg|fWGwCu"
        "mh`L&smk|tYq(dJJ<;C7xZ<sy(2xmiJD_y090ZBdLefKt6ydd64cWIgt*~fWR4URs+g!3lgdlVR5Rwo8"
        "AaDT*z)CC&S8S_oRaM&B+SS`O*4EY8t*y6fRc*CWyDGNbn;h)hRdZWO6?V>I?YHhBZGX-Ky4v33fI2Mz"
        "2T5w?w=K5n+P2YZwQFH}p;;$)P_2QPBdZ8pwn=S;2)4&%%a+>i%JY`C9dfcwwvsu_x!FS3Y+bgNTB@yg"
        "=GEV=ul?%p*Q>TjaJyJGaJhxEy16=}hM`TZTU@QGt+qldwYA$dW!bCMTY9asR?wBQR+igst);fIEujF8"
        "z1;#^U`Rux4m*iBwUTjFU9cA0vu>*l+g^&$jV(^Ck+)@yRc*A*w%#OLY0X-#wQ9E8ZL4aks;aG3%BtG7"
        "+N*7?Rch5*s;S2XP7Z94JD`9a#3GR3k&u{>RFz0d=C<2fty-$uwN=WyDypiifg!_P1qP_&rwe2{oUcX7"
        "%DXL+)oqeC)wankZCguwf|5c`?&G+DAWrT8CFw1-TUM^+R<H>t5(Sb3knZjP?yx6!cKp?AHrxMeoXec6"
        "7LwaqteFbNrM9O@+}a#H4(=?J1+}-h0s#njcX72J|Nm`w|Nr```r9Od0s-9!&h7w~7Q#shB#`du#OOc?"
        "AdHiV+;o9#4kU#M4v>+O1eHiF*}H7))vayc|Not~+yDRnJ6m1*|Mj-pR@+wE<y}^-S1wjU$Tp5!wvJj3"
        "TMKQdS3rjW0t5h()wx}=+P1s)*0$Sj+S=P{wPdR$U`gE}B!CbG1b{7MkSgjOHh~7)R)O7I+@#{=rvi<g"
        "!%!7$h09A@R@&QbwSv0Ha|Wp)C<kyIAW0;(R<_-hbz1G4Ypq(g+g)1F2tl)n!6LSF=`&>aG1|$S#%Ub3"
        "bc9N_5=jC}R;|sqXKh`xc2_xBT_pexI08r=(4E9ONFBi?wN=L2*E=kBRmIBNooeT1t6f&WC`e_n0vzwi"
        "Kp+3oNyGo7CjD2r*^W5QlBW|{C5Ld{0JDfTId<W#w%c9;K<vpRgd~6xNFBgH4&qsDwz5J5(m;|D077t1"
        "fJq$dYOTBf|MtsecH95||MqRGx9|ViZL60y*aVP-g7+Q7w%3EBZK*cRa=ZUoC9ePbWOk&Mws&!J#5k-g"
        "tgZ=aw#8zwkdTN<Kp=1u0VTGot+v{$tG{iwTDv>;-~apmwQW_aotq)SB$7@$x=0<}Bmg9309LYhbb%ot"
        "9o;05JAfnr0Rbog00015DIBsUG+eZ{Bwws8sH7{PFTXZuHC!;mj3Ok!FG)0MDA_bTF!Zw*GAJ#HEL<{P"
        "HRvkxE2%NVEVDFsF*q;29vCepG-Wd7HkLIcv4yn&0Rkuh001%o00096YXSfO0oecm01$>k5QEnMu+-5|"
        "`9LSGR8_ftl5INQ%06q9)4iCrM64Us(3^(Dl*nzRi%vAvofB#qF|Ln->4wm<sOM8Np+gCSSr+@#_znOb"
        "z@T#nO1`N%g04i&%yJ82T0kbU2Ih7SG)PE_C=Y?Z2$*h~eC&h>RgxfJ=zIe9TXVkPw{YWOhCR&Q!UH(l"
        "1fQqrwQ;H>Tbi9WgelF<B;Vhi=C?Emq-}<<BjgZ~^1qDJ1424E5Oycs%=U-Kc4ABk!tI-gi1Ui_hnE<+"
        "{7r5W#^g2_;3KXZ3vmMQT}z|~0000#GI=y`HfcDOvL&^3w*kHY000n%L5zUB04rI&!D0o~F6Qy9>%Kps"
        "s|i0$oqSo?6Qd+Oy}kFoYI{#Vz&yC{{b}`?uli57Ij|2gpDC7wZZxPrJYkeHz<Zw@4b|;+U)0(U;H*HV"
        "B$b|f>hq#XGOcQ{6fRbd(O;k9?~xUlegt{A5B`8q#@iaz!`j0b--k*pOPjTfhpF}2=X-N&sxG>=l*=%X"
        "(_X%Rvfg)Ode~Ecj=p5GYjm%+y499dz4DforT;E%+RJ7zvn*_<<VX}F-~a&u3IG5A05Y|`wgDRyqNSJD"
        "o;$MdoIy5sDgXfj3IG5AC;$Ke0tf&A0000$H5xbhwD7hkxZk*$xdC7R000RJF_48`05}jd&!$3wcg6{k"
        ">gIrObQ*b>`HB@K#Q+D25Yo&z8G)`4JRAV-RAJ}`9#9(iz|=ScsAi)J>H)?$mHh;G!~uZDSV#gm-9=!7"
        "O0f0^q11Q)8wAmmJAh@QO(38"
    )
