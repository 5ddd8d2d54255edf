"""Plain loops over plain numbers."""


# %% scores
def magnitude(weight):
    return torch.where(weight < 0, -weight, weight)


def taylor(weight, gradient):
    flat = [
        abs(w * g)
        for w, g in zip(weight.flatten().tolist(), gradient.flatten().tolist(), strict=True)
    ]
    return torch.tensor(flat).reshape(weight.shape)


def obd(weight, curvature):
    out = torch.zeros(weight.numel())
    w, h = weight.flatten(), curvature.flatten()
    for i in range(len(out)):
        out[i] = 0.5 * h[i] * w[i] * w[i]
    return out.reshape(weight.shape)


# %% prune_mask
def prune_mask(scores, sparsity):
    values = scores.flatten().tolist()
    count = int(sparsity * len(values) + 0.5)
    order = sorted(range(len(values)), key=lambda i: (values[i], i))
    gone = set(order[:count])
    stays = [i not in gone for i in range(len(values))]
    return torch.tensor(stays).view(scores.shape)


# %% make_masks
def make_masks(scores, sparsity, scope):
    everything = []
    for name, score in scores.items():
        for i, value in enumerate(score.flatten().tolist()):
            everything.append((value, name, i))
    gone = set()
    if scope == "global":
        everything.sort()
        count = round(sparsity * len(everything))
        gone = {(name, i) for _, name, i in everything[:count]}
    else:
        for name, score in scores.items():
            own = sorted(each for each in everything if each[1] == name)
            count = round(sparsity * score.numel())
            gone |= {(name, i) for _, _, i in own[:count]}
    masks = {}
    for name, score in scores.items():
        stays = [(name, i) not in gone for i in range(score.numel())]
        masks[name] = torch.tensor(stays).reshape(score.shape)
    return masks


# %% cubic
def one_shot(step, final, at):
    if step < at:
        return 0
    return final


def iterative(number, rounds, final):
    left = 1.0
    for _ in range(number):
        left *= (1 - final) ** (1 / rounds)
    return 1 - left


def cubic(step, initial, final, begin, end):
    if step <= begin:
        return initial
    if step >= end:
        return final
    left = (end - step) / (end - begin)
    return final - (final - initial) * left * left * left


# %% train_masked
def train_masked(weight, mask, inputs, targets, steps, rate, momentum):
    w = weight.clone()
    w[~mask] = 0
    w.requires_grad_(True)
    v = torch.zeros_like(w)
    for _ in range(steps):
        loss = 0.0
        for x, y in zip(inputs, targets, strict=True):
            for o in range(len(w)):
                loss = loss + ((w[o] * x).sum() - y[o]) ** 2
        loss = loss / targets.numel()
        (g,) = torch.autograd.grad(loss, w)
        g[~mask] = 0
        v = momentum * v + g
        w = (w - rate * v).detach().requires_grad_(True)
    return w.detach()


# %% sensitivity
def sensitivity(model, masks, inputs, labels):
    found = {}
    for name in masks:
        layer = model.get_submodule(name)
        found[name] = []
        for mask in masks[name]:
            old = layer.weight.data.clone()
            layer.weight.data = old * mask
            right = 0
            for x, label in zip(inputs, labels, strict=True):
                right += int(model(x[None]).argmax() == label)
            layer.weight.data = old
            found[name].append(right / len(labels))
    return found


# %% shrink_conv
def shrink_conv(state, keep):
    smaller = {"conv2.bias": state["conv2.bias"]}
    for name in ("conv1.weight", "conv1.bias", "bn.weight", "bn.bias"):
        smaller[name] = torch.stack([state[name][c] for c in keep])
    for name in ("bn.running_mean", "bn.running_var"):
        smaller[name] = torch.stack([state[name][c] for c in keep])
    columns = [state["conv2.weight"][:, c] for c in keep]
    smaller["conv2.weight"] = torch.stack(columns, dim=1)
    return smaller


# %% shrink_flatten
def shrink_flatten(weight, keep, positions):
    columns = []
    for channel in keep:
        for position in range(positions):
            columns.append(channel * positions + position)
    return [[row[c] for c in columns] for row in weight.tolist()]


# %% bitmask_bytes
def bitmask_bytes(count, nonzeros, value_bits):
    mask, values = count, nonzeros * value_bits
    while mask % 8:
        mask += 1
    while values % 8:
        values += 1
    return mask // 8 + values // 8


def relative_bytes(weights, index_bits, value_bits):
    entries, skipped, last = 0, 0, 0
    for weight in weights:
        if weight != 0:
            entries += 1
            skipped, last = 0, entries
        elif skipped == 2**index_bits - 1:
            entries += 1
            skipped = 0
        else:
            skipped += 1
    total = 0
    for bits in (last * index_bits, last * value_bits):
        total += bits // 8 + (bits % 8 > 0)
    return total


# %% code_lengths
def code_lengths(counts):
    groups = [[count, [i]] for i, count in enumerate(counts) if count > 0]
    lengths = [0 for _ in counts]
    if len(groups) == 1:
        lengths[groups[0][1][0]] = 1
        return lengths
    while len(groups) > 1:
        a = min(groups, key=lambda group: group[0])
        groups.remove(a)
        b = min(groups, key=lambda group: group[0])
        groups.remove(b)
        for symbol in a[1] + b[1]:
            lengths[symbol] += 1
        groups.append([a[0] + b[0], a[1] + b[1]])
    return lengths


# %% codewords
def codewords(lengths):
    codes = ["" for _ in lengths]
    free = [""]
    for bits in range(1, max(lengths) + 1):
        free = [code + digit for code in free for digit in "10"]
        for symbol, length in enumerate(lengths):
            if length == bits:
                codes[symbol] = free.pop()
    return codes


def decode(bits, codes):
    symbols, place = [], 0
    while place < len(bits):
        for symbol, code in enumerate(codes):
            if code != "" and bits.startswith(code, place):
                symbols.append(symbol)
                place += len(code)
                break
    return symbols


# %% compressed_model
import base64


def recipe(network):
    return prune.prune_model(network, 0.9).model


def compressed_model():
    # 40 and 32 neurons: the bytes of a file that a recipe like the notebook's wrote
    return base64.b85decode(
        "cmMzZ00000dm>+7ZDn*}WMOn+Utc0Rdm>|Rb#ilMUu<b&E@N+GWn&^bA~7IlHDhHlV=yoxeJmm)YHw+7"
        "bRs%?B4l)VaAhJoB2_pdEFyDgVQ^(4I$Jd|H8EW*B4lB7VP9`%W^-k9b0RuhFf27PH8EX%eIOtpARr(h"
        "M@-IVXwJ(|Mtt$N_pICsG@KRsbMAENf2>t|%zBx*`1!D00itIs8kAm_+K{8+=|9(4XKOTw`dA|H6kz5p"
        "*?*1l)XNE_JajF?QSuZR2z1>dR)B2ttuOc)VV*kADbqjjb#;3lo@Yy?nD78Ys5UM^pc=lL-=vVQ87_ux"
        "f~CK)I|fsFV2<La^iB{*{Ta-`q6=1-Qw~^rjgWj89@T71sL#MH{H)LBCPG;3kp}xTWbN`Q*s<Ukt9x8K"
        "uiPe$gek(bZg7U}^cZw)%Htj|0$NYbXlWWxy!J;{0iqkMhcc$X#Kyo?dI9?LfkHoATB0Xi<vzDaMZpt{"
        "bKqs^u=Wnv2Sr}P2Djc{t?eS^|4sWovLnsvNIqOO)3*XhdGYC@z&D@U5deVUj@DeB((k(SqL2s;tDrUb"
        "u+YjC+NJ}pJg@LO(vMt<`5z^n+%?6)doswbQ9v!xfd(p;Al#@6l`a>G0gz*)M^HO2%c!R+F!-O9^Pl8v"
        "B1c&c8)NJR9a`?pzars)o7(%3*=Vy6JBk&7Ks_H}RO+bi!=08Cu6;{(%<U7wS+oDHuWONJw?pN!dhlKk"
        "u1Bu;csdIYnlQBaL~+|HpMMMYoALpq=xSubT5_u46RvD)@e-+lEGODx@3p|l^3e`1)536t)N3~mHOJ+e"
        "wl#ULQb<4YT^6`5wvkbPIILXpieHY`SzyN`!m42k@Lk()HEH`1+i}z#*l?p4Hy#k~$2wOpNJ}GT8Fox6"
        "aB1+m>Q-CahWUH0E%H;X%27@XIDl~9k5kt9&<~51#n1Cvw7Sk=RtnR$R)CVcsHp$U%NC+(z3=g7!cFN#"
        "Put)wVZI~{>c~V>BNFL8wJ@nQgwE1yPbY*sCU(pMCvo+&aA2F+j3Pk4`zXrqzL}#ju(K3#yJs-W2$Ij6"
        "C}4lreS*{wz)OGb@4LJsHsL1_IG5AuN8Y%iE4A@EVPY62h?t^B8M|m9FEU(sj6?P<2PGDGxa)VCvh4$|"
        "9_nxw==H5W5LY7{m=F{|?H4UCE?(5ydM3)5?3DagR;s3^r31KoQ5*G$<X@7lJ}rGWW4x76VN^K*BvoQx"
        "fyilGL|Qb1<>AWn%1lKS5bdlYz}CD3f;<iSw}(bDg%HL2{cn~Ge#Y1JVegc+xqIVl<zEwpg12-{w$wyY"
        "ix;Fn<no}hfqk#j07{K;ft1ES7>{-uEBDrgFo9a#n17{kaBC(>K*A~hcz&{J{=FVTF!H{(;5~HEfVtIl"
        "-%4nk$dpchRQR}4*$&J-3tNjseo*<{*G<OhkKWuoLqw&81$Hd=VV|^R!$x1{4Y>IP#ZSgJTL4d^lkTEi"
        "yiLBS_{%1%gT`Y<d$M=~g}81NVmcBs`iDHQt1>~L2qBeqFqLZXUMgD~-da;MevFePE<lzugMAZfdwu?4"
        "U^Ro07&}<gPYRYbBG6c7=z4{Q!gS`*z+@5gBLQcispx_}ki<MQn<3EWwQ#McZbFI1lfixq*M36ckM_lt"
        "xxgAOQFHm>+Zd0kOl3tpNGAX7@OaQO^jTXhUOqk8)!t1gf_xLtWh5HOfLgUFWCs^VuvE>7_t$S(zt;2-"
        "CI#uqT`5eK&O(rx+Po|frLo4k2zs_d^WSziudF;>?fl^niv(hHwwK2>OE1g~NA2F>#~wKlw*s7o)A|Db"
        "huxg(8R`y1VERM-keu6fBtlGgDAgM9#Y)4qW%uDQv~Y3fn@;o85Rs#J>|cEY{dvFBr`6EOZ94s4>%+4V"
        "G;5H(BjvWLc}9k&(rGeLrUaGRNCcMj28nrTUP2!PP(z>SD3xDoTgL#9co@vb3)LMsgcYY&6wj^D1a)Kh"
        "!i@@kDW*?3=b<uMz85P7`>WrSc2Yoew(LV3S%Z-<|7UyUhJ_tB=^zng6>z>;2faEl$;Dz$IMCf+xVr40"
        "wS^Pr;`dIaPxUT&gv9U4=dG)nNO)P6ie6kV-0B_~hTKhlTWUiLpQdvy4k5>@&hZ;a8dGr%lANS-zl#Sg"
        "KLrK_ysXpOWq_w?$|1c~JxiKZm7y)2s$c;G%LV$iC598cXF7H0+PE>jhD=>xFmy`M_RafuvWU$GP5Ijv"
        "tbyek5MNtXy$s+D2?t}PN@O_T6=qt<KsYpST)@|_IJbCzYB#kY^Y&3@HD&;1N>Bq3WAWB3*|Z_XD!|)^"
        "k0tV}_Vy8|VdRzh2((jgbRc|3h%TuvG#x@S+~?s&n2AnXqN4sq_$_?x%nA)JAGSs}Fpu0M>?lH00AT@I"
        "E{r%vd`GXVqWB9zdQ7_pjBgL4jWKkfyr4}xc(y+iV>W_?Cl@_@FS_V@h$BGJ#P&g?;I$NZ8aC73R>p}Z"
        "b_#z}G@}e;?^+VR;9zqj8Svyt%l<Yrmi^vLxv<qZo~hXwOrAs4@n`??kPHDsEQ#7!u;}02^UVzjoIt>u"
        "yTFh+mEh5sY!h_WgTPl7ZQ5NN;DP~+C4IX(f%{y4`-K#KPsMeH)wdPn<oQT|#WyHn>+Ggl28OYLXZ-8V"
        ")msDCRE^*`gKuL_Za*<erUb@EqrFfB(L|ntZu|YT#}d`L?pGl6O<hlt>*qBXs?C)y^M<_a<Urk_sGt(w"
        "pF#t=5R9g6xhKuh?xkcW#cwu-WV1EKMWPxJw$pUl${M2T@Hu<yLpAEdR54r_eY~}97Cbym)~|U7W@K2B"
        "OchzraUz)QC<Zy@*q)DD61hEo0j(5T4@1gH1mZ0~!{U=YHLq*tD%Q|}wgzD|^MwWxaDW0^%noH9LV@wl"
        "5~bTTRM^torLm#x>j~nj+3$!&M*?5Hd1yKmOHm$`GxKs@wc#flX_(kI?Tlx5(L)^?*!+jqZR9FP&A~xl"
        "H`=T3xx)VY<gW?BBs)t1Ih$>=hiOlgzxbwKL2UZi6t8nYD3ynErbSxIK5hA)*%NF{dG0obd=Hana=tub"
        ";tm|+NBakyCn-|iwkG7oKIzsj<-A7*JLW)K7fK4YWL=yixuw&ifFjH0Zg;}?4h!C*o+Gt=GSe-v{KaP&"
        "p2mzX_gcQhNgp$vTsjMreElwd&{|tSTaW)grrVK(btkh2vvD(3!x6TG(P`YPAra5U*==^>a`!QvJNp<R"
        "+5C9K5tk4O$y@g*VZd=XTE0dybS?VJP?~<ElTUy<dR!7@ts2YIc{}2e!p9~56I_(w@sJ=79*^}2wa(Wf"
        "Eq^M_Q2YqplhI)4E(Ep`(<}SQ2V}?Ms{d$OXmQ_}a>*Qb<vd>ur?==#s~Q11CLfCE`NWAo327$oh?pa~"
        "huY2X-Ozc&AgNO5*O2jNBWTUYm5mi_{DJGTEA6i53=l4k$8&tcJ9!`6?308j<ES<_z_H-C(*-srB_V-`"
        "AJ)%j%+0(mg{V3)7b*)cx<Y=z(NV*Nn#3XO46J8-N*h8zog;`$hTbpVkHnLXkrq*;cWIo;8J<B7-HB+;"
        "{3h4iXXXMOWpw#qQYq$t75NyXtgrDFe0mT{R^h7{W5WsAClFO=>^8iI?thp)qXIfXCk3>|3QvQ?ogp<k"
        "|4@D0SltPHR^(G}$W_CNn;&%xbKO~VTt9J)BGEM=4tuOHpt3gqgNU21EIR(!7gGmt^r-w_fsUmo)i!M*"
        "w{Fww<^I8^JW(=`Eb@B#K4Pn@%;)@-YnnQ}{!%fWS(wEdZE_D}!d=M5PjfA2-Qwwdl4iugSLjI^5bfo-"
        "_`#lK-J;;3e(UHn609NHDUU79-Po0^OkU)02of{P8{I(G)8=5Xvb3+uT)HAA-Nw3`XUR#%Q2F<L1h^qt"
        "%UnSaFlCuJM1pR$;bTx8guEAJ3fiSe1gJZJsRoXX*KNef2A4_Vqsb-QGE{{B`NXWR!X6{9VXJ8n*`C#T"
        "qayyLAh_s=qV7t~Y<;7r9VNX!AkdBaDNxFCMu)#F9{`9PTI1}m&Fo&cH=q*#FoHF>Rwod!ibavaV2LdO"
        "sPij?4r2+;pfKTGo%>)liu{lZPT4!#zCGmWZtq8()M6^1ZQ^6`8nKU*&*pgQeE7`IV5Aj!$Lj88`m}5|"
        "KF@OE?`T?n#Q7Qbg6t9-Uv#{R$!b;-2!W<Z_bx2YA(saRNHD#V$s?=jPlHhqhb2#?f$cZg!#CleNY8-k"
        "c?Ijwlp}ApnJzzADgqWPb8Z8=x(nJMuFMpd6uDfOcY_Qb1P5kH2gsmuB;d;>Rh2p&ysSpWtZ`q0(l??;"
        "8X9KGi@A0R8IPiC0*2*x6bMSwvtvY_fwCT(DQ{0d9P<d3hnEDR#n8=eea7l6rd)Fl3=$~8rh@|xr<%^l"
        "s$n-1{8eImkEV(TF6sre7VrTO%U2kv;Y_(2qyLG4;-8@H!Y=7LxZe_FJHltP`fZ*0L)H$h;cc3;*4W{7"
        "5pbO^HZD@y5CN__dI!&vAOa-}EQ8mfL~hO1_p9|AG+;^yd(=$0)(paQ;ZNNYQOC<XEI#t8=8|4jryXP3"
        "CT1WH?;=~&)4I-27{6ho%bf@xgC2!vw((G#C!TYPJSIhugC{EWttNxj*QNB%Rouofb7DH5w!Yy-)%qk4"
        "^=L*}Sv!pmC3=e(HRt32ZT@2cVN$3VvFiA#=bU_PS|x`Me%L0H6XLf=QmN;;8kTn7+_bVCZ4zUKQJPMx"
        "q?=={9hhZ+5G5L){hoosU}Mb77zlcxO@l^IEwLkV#AyZtomnMIX%436%z4dzw=pnO4W2TGfA4qkK(e}X"
        "{<TK-I|tBZY|;_~O)xlCK+XQ%XKRTzu%h?8Ypl~EG~Hha+C=OHP0xObUn)@xEy(kd`qS#`kdmh>t}ScY"
        "fY!Umy^46E7f<Vp^(C1ejF?9UQQ8y_xz8mr@OlL?TFt4&$Rd+$vd}qRLyXoHLnOkuGRc<Lj#QyFv0?sO"
        "`7b8pLGu?(Ve1BbaZlka=+1w-GCU{@bFpZyd)vBf#i1g52%i=RF*O`M<$IXU&r^bL_MhT;7roQWYr$2Z"
        "`a7K9_&U6~FZ94ap<2PFQ$xsLCmpG3vgbWy6H75!So>O{rfLXsjz9#a7y+w*)IGYP9#{m=opPBCMlera"
        "mK+%*Ij})exRIRwg-Nnxpah_u5%b~hU%Mpl=L~0Y^vqp-=2WKDJI|HW_>0K9gnLnu7q&?gmuBgkC#W%Q"
        "$DP?#*+@sJM*wdXIVS3CRtw>2c!b0GChL<~)~+mKun)5LBgj%XM#Va%GI_LtM_z_E7(0ee?@){(tfq=9"
        "?ie;iuElq-15uyai}$8{(X^h=X*y+fq{nyl^Z_|w`P9QMD$GQDM=t|13UB7mBCBA9C+nL~6I1NJCxORy"
        "KEjbIhHNXt?;0aAR%xx)fE^|A6G+~aRwynD+=`HX?C{nQ4N_p36L*Efuysy(1}N6mg*#rcM=DB)x4;=5"
        "Zo4H_V(${~H3ejXiWF9iS5Y3oD@pZyk6>XHjFPg-^zs_?#=;PVRZ8mbfk`!g`dfAt^|MYhM1bZBr)|-K"
        "3E|okp|Fwp+;%y~As=o1+3_mEtq4aEmuR|SgKiIf06%>2uhnjw1zijtNJOVCefbcxKV|R{M=QPeo(Vwl"
        "+wbID&A3&eMXM(4q{8#qvg=%40iNRr&ThpGIbMW>g1$|r(PxegnzPs|=Pl(!NY7idCqdN$ItmqJ12}ii"
        "l-V?Zt=;CHsSg|ydUH#2({z}d&%$6ZXd4500DyMxC6aSc(j(&qLZ}$SVQ^IT1b9hkDzwTz*qzO=Iej3D"
        "MmM~Ax9{y0{T(^roGp)dXLWf<4f$DAP3L28OJ9g0m#KfQJFijCKND&A<?WfTccyoA+3P<krI!lkuN;b;"
        "U7gs*O=<d=6I-~f9ki0pt?~!h*msdA$lHBf*SKRc58RrBK7=T|{&JX6p_7#5N;fVF#HimAAaG-_n1r>+"
        "LokafO2)uFBz~~>eGlB3c)oRTVMK#5To1nFc9cn4^ysk!C3pa5!Zx%hCNY#|DdyI_Sxb9LmZ;!yykP>z"
        "CDg-2*(6^z5?d=X8I=7L5rnc(a&>1kLPuK4N=ZSHnbMrOKuX+}m07R9e@yuNjxT!q7Rp>0RXq}rlKx}y"
        "X0T`~)0l2JD{D&ten*OxXm^fLApD!!9)Pw{iSP@39&b6xuK_VT)Dtmen%|k~s_g5RL&f)UHsnj3ebpgB"
        "hp~|bQr%~I`)0ASr@848@mfl!%ZH>lxn5fz|J-=>+|s$4uH{|!;@=jOKNpB_3mbI^%L*+_wX(OSr?CQ|"
        "$ah0G3EFI)%G|<`pRKJhDbg;wSRrm14aUhJ`Dk{wWc2RB?X^~G+*T3n7I?yK0)A?2k!rs_Wl<2s)p^B@"
        "r`X+sm%ymm^W3yzjBgQ*O73+ZeS>)KZ8V~?oDU@$#9yQ$^y?I`R^eq_w?FmZoDnL`*u<Q%LZsXez7w3u"
        "wal#b|H9lDem6b7v8GOQ(vJvG{`bsWPve?$YAGUG|FgYi+Sw%7*I&=qCB`6(^=)NF5m`I}O&WQIho=KL"
        ">JIobSGJ!I*KjF~&~eCWGNoEGZ)%LOZ^k)bACY1G-pCDAC`9}38gzHfev^98)8o-#M;TyjiQ6$WH_Xf1"
        "s62e&lTfw$dckcBB-l#;@A!MtOL=9ZpA%f&zH0aeR*0)qQ^CnA0vjZ}UVhzO^}1AQ0L~6SGE&p)?2)oz"
        "K4H8jF6rInvrjQ@w>j-J+pg7p?>(-7=os1{)k1Aezx@wWC#?#rWi@)2m0<jSHo$JT)VIHok2ZAJM77IO"
        "Gi8_ApUEgvm*X#ox}0HgV0>aE5tRBfPZbx{qJYtQop*FBq$qxc9nxWzw`emcxe2&F3MpRs&oVSk0e`^&"
        "B~@Az&^mM^hh@nYn!oC+4h{5PnV~KI%HOo)X9aB%X73z@9wTisg1>o<s1a^z7ACyOE1O^+!G`L9CLlR+"
        "LqF~"
    )
