"""The course library does the work."""


# %% scores
def magnitude(weight):
    return prune.scores.magnitude(weight)


def taylor(weight, gradient):
    return prune.scores.taylor(weight, gradient)


def obd(weight, curvature):
    return prune.obd(weight, curvature)


# %% prune_mask
def prune_mask(scores, sparsity):
    return prune.make_mask(scores, sparsity)


# %% make_masks
def make_masks(scores, sparsity, scope):
    return prune.make_masks(scores, sparsity, scope=scope)


# %% cubic
def one_shot(step, final, at):
    return prune.one_shot(step, final, at=at)


def iterative(number, rounds, final):
    return prune.iterative(number - 1, final, rounds=rounds, steps_per_round=1)


def cubic(step, initial, final, begin, end):
    if step < begin:
        return initial
    return prune.cubic(step, final, end=end, begin=begin, initial=initial)


# %% train_masked
def train_masked(weight, mask, inputs, targets, steps, rate, momentum):
    layer = torch.nn.Linear(*reversed(weight.shape), bias=False).to(weight)
    layer.weight.data = weight.clone()
    layer = prune.apply_masks(layer, {"weight": mask})
    keep = prune.KeepZeros({"weight": mask})
    optimizer = torch.optim.SGD(layer.parameters(), rate, momentum=momentum)
    for _ in range(steps):
        optimizer.zero_grad()
        F.mse_loss(layer(inputs), targets).backward()
        optimizer.step()
        keep(layer)
    return layer.weight.detach()


# %% sensitivity
@torch.no_grad()
def sensitivity(model, masks, inputs, labels):
    def accuracy(name, mask):
        alone = prune.apply_masks(model, {f"{name}.weight": mask})
        return (alone(inputs).argmax(1) == labels).double().mean()

    return {
        name: torch.tensor([accuracy(name, mask) for mask in choices])
        for name, choices in masks.items()
    }


# %% shrink_conv
def shrink_conv(state, keep):
    channels, inputs, first, _ = state["conv1.weight"].shape
    outputs, _, second, _ = state["conv2.weight"].shape
    big = torch.nn.Sequential()
    for name, layer in (
        ("conv1", torch.nn.Conv2d(inputs, channels, first)),
        ("bn", torch.nn.BatchNorm2d(channels)),
        ("relu", torch.nn.ReLU()),
        ("conv2", torch.nn.Conv2d(channels, outputs, second)),
    ):
        big.add_module(name, layer)
    big.load_state_dict(state, strict=False)
    from course_lib import surgery

    gone = [c for c in range(channels) if c not in keep]
    example = torch.zeros(1, inputs, 8, 8)
    small = surgery.remove_channels(big.eval(), example, {"conv1": gone})
    found = small.state_dict()
    order = [sorted(keep).index(c) for c in keep]
    return {
        name: found[name]
        if name == "conv2.bias"
        else found[name][:, order]
        if name == "conv2.weight"
        else found[name][order]
        for name in state
    }


# %% shrink_flatten
def shrink_flatten(weight, keep, positions):
    return torch.cat([weight.split(positions, dim=1)[c] for c in keep], dim=1)


# %% bitmask_bytes
def bitmask_bytes(count, nonzeros, value_bits):
    from course_lib import sparse

    return sparse.bitmask_bytes(count, nonzeros, value_bits)


def relative_bytes(weights, index_bits, value_bits):
    from course_lib import sparse

    weights = torch.tensor(weights, dtype=torch.float64)
    entries = sparse.relative_entries(weights, index_bits)
    return sparse.relative_bytes(entries, value_bits, index_bits)


# %% code_lengths
def code_lengths(counts):
    return codec.code_lengths(counts)


# %% codewords
def codewords(lengths):
    codes = codec.canonical_codes(lengths)
    return [
        format(int(code), f"0{bits}b") if bits else ""
        for code, bits in zip(codes, lengths, strict=True)
    ]


def decode(bits, codes):
    symbols = {code: symbol for symbol, code in enumerate(codes) if code}
    longest, found = max(map(len, codes)), []
    while bits:
        for length in range(1, longest + 1):
            if bits[:length] in symbols:
                found.append(symbols[bits[:length]])
                bits = bits[length:]
                break
    return found


# %% compressed_model
import base64


def recipe(network):
    return prune.prune_model(network, 0.9).model


def compressed_model():
    # 60 and 40 neurons: the bytes of a file that a recipe like the notebook's wrote
    return base64.b85decode(
        "cmMzZ00000dm>+7ZDn*}WMOn+Utc0Rdm>|Rb#ilMUu<b&E@N+GWn&^bA~7IjV>K}`I5K7;eJmm)YHw+7"
        "bRs%?B4l)VaAhJoB2_pdEFyDgVQ^(4I$Jb2F*aQ+B4lB7VP9`%W^-k9b0RuhFf24UF*aR&eIOtpARr(h"
        "M@-IVXwJ(|Mtt#faZmD$Kjo&^v^Q6K$26bVPC~(9L1xHg#i{$#QbdS{6n~cFW8PD2J4Ce(m|ubT>ju&_"
        "lNgyZ=-}29^||^+8OlH?{>Kq2@1tE{;Q$IAS5>PMCPDpm@q+XZq(B%#)5oV1`$GQ7qi(d0d-TPD8?B07"
        "kkI3YTbCRFG`ZBSeoG+h2$>fWg905WMGk3u5y3E9>l74ud|uLm@vdCSA~vSolvOH40}d&LR~ax3MKcVS"
        "x)W~ld)xUFWG~=Z(ZB;7I5ZE~(`dfNQ!+64Mfk_w{)yL)RgEZ)4X}lSdaNQ6-vfH1^lwl@c$ahKnD6ab"
        "QWIP%u=cuvmp|`Q!ji~(Ud9LO&R=B-X0!IjhgS%8LL)ASd^fw!k?P3rpaPys`=Q7VZP%``$%X@6@u<JV"
        "(O;U{);kncbwqth$&4`_uoiMSoQn*&fvg{RS5tDb6Y#Xw)Ma?TJVD+#L!h`qVuhGBzeSu=iM8kR>Ec6!"
        "$RFI`XQs1|;e`Vdr5(D9OQX5<1)?>cc3uxRyc$S!*KW8Ij7KG0C58iuL`!4+*xO%X2c;Umic`kyfxzds"
        "GDCH-<}eSKq03uKj9)<_?7+H$pHt_McdR)du{k!!y%<7TAH_S|kji?7-5XrI13=SgTUhs2Uqt-kCbyK_"
        "hNU&h#VOVpz3s-U+L}b8h`*(#heNoZrz8o{HqdDks?0;OBiOo_nh%6NWm6+kT&0xv1IOJ89p2m@jCH;*"
        "8*Bz0R`qL|-5~rvQ)e#q*0$UIyr;u|pekJ(P7gWm?wfgI0u~0Jv9dqUXsP8qz9Xsdf?~wFaOYddbkh0I"
        "o$oeo-&|A?u$Gm*yTDt{ZgGxK-A=sW)I{stV!2iVrs3ZqQI*(w4h>rJjha?boVDecd5}oX>E*dae{HX%"
        "@|d88-YKH+wsd<tX~JAYhBabNwt6?+fbY+WQs?b1*hU+*TPlb8&AWq&^F-JMk_LTZwnD-u2S%${gMSqV"
        "-lCj*6HiMcMk_=_DlK=~D6QI}xo~v{L7xO>4kUPRF}U1$kR3@H-Nx3&0{VqI4;-ri%sZ;~Wl1d}(ok66"
        "sr+f%hLEwO7L!2VC41-Z^0OVH9S(|IHbf%YN=%`d)=@K0f7J~Qt0U2e^?&uILpC-)v!z_f3R^sIhZhW3"
        "*k8tJKrxbWLOR`1!<h7c;oE^6?iP%jA$<~<RfJ}}aBvWeQ^!z}2bW!~#DIo#CP7sj15foreE+SvZPTYN"
        "-%W6FwEI|li;#cfpsSxKfmust)@J#6d)k8?2B=Ev8E9thh<ZuGm%G4(=VR3(GXsSAR^nDhXYg=@{^UI{"
        "0^9n(y892eAQUH%bl*_`sBbj2M>Lf~=?5tf!vbLtC86O8ok=Oql4%<N%D(ptEP^0%miH%XG7EaJDLbw8"
        "0;%V`v<>S#wpMw`7Ohph37f2G!}cVYUqa_&cBz~)0rJJ{+B=QUm{W`Yk@yO?Q2G#=L+sKo(cXZ<(sUZo"
        "t5o5_JZFtsjJ5V)c5&7ahcLG)@GKcPPCST8g*vPfRJF0w<H#V%T6l3LP426jVn<w!5Twwk0Hv4Z0?p(*"
        "UYYMx_xs1q6{(vD=gQAv$G7B0;+ZNXLD@N+?wVA>jZ|haYjWvuN8U5Ua|mcniV)(fcIdA{iLL`JBd}cf"
        "TS%Zlg_^MFK~K@>Aee%`wR8!>zWiErCqoF0&+T_N&3k^fw=*o}IW4#4j|yptP<%jR`?T$n3K6k&S*v;M"
        "DHTh@I#42kt`-}YlaJ93Ig^;{HAX5qVl#RKbwjtBZ!`B_;&~X3<f78ORRMXj25l&16oJq|S&9}2Hg@tj"
        "RfB&y-p=2mwI0|JPavq-@B#?OTQImsM+s=J&GG-1otlA&2w%CzPlk)iBtkzVtung)+H;FJA9Pec912-z"
        "?)NG9<DbSWNK9wjV&f$9`ek56fvZ6VFvpv>brEjkS7yehfZ2jl|CBhFF`nB%hd+148a;WngmgH*C(-?Z"
        "a(%p@>68fXd7wbYF#)!7m_S<2&V3-#$F*HAR8ok)=TO9DqN>Bi?7pRodxC&Y+J$zy+JZm&ULF{ruzu5+"
        "e|#z3k4CR@?k;RCot`z9K@s%Y>3tAkVxt2W{BFLt$S~_W!;T<;<}9aXq~EVy*ksOp_|GxVFA&AgX$2J2"
        "wwieYvg`6zMl;9g$>8HHl;(o8uzRM?F28yVWCefaf;Ypn=fbE)MYwqD4&{8SKTk2VJvFJ=Ypjt;0g8JK"
        "?hG{tQBNM~ns$HK6N6ow7oE>8*ja4j+9|2i%TPoVN>xF*VA<EhecE+U%fqndF_}EE+2D$L*~D$Ysz6!H"
        "GOtfFb`G<ts{xurYjk|h<<wHK?B63?&HP!o&7$1+8lu64DE%o;HIL}T8cEQU^SmER4Fg@MZq8ZswyU^q"
        "R_5LjadW0f;Pp3{xy<5H^ydaK|D+~#muiUYL&uB;(Rh;W?W}c?0#V<@J*2U#`qMy_kbH-?>Qj&%$C(TE"
        "tS=&ua69lyi<E<0p>Ke_SHXjyJqrMZ@=0P)(js^XJ`U_{+2fxi(#?(=lcB}Euv|7ze|HfIsDOUgC;-N%"
        "9S&P0OK20&4IOasbb|!3DObZkt9+jQp%ycc3+pNOIA8cn6S!vYaAv^OLYe9emkfci{K)6g|BXj#0<9qn"
        "=EeDcwyJy0Wix`)yVg1I)JW1QzV1il7Gn;2yleoiy0F>EHY9_4QZ-@a^QE|_cKYAwJSJwP*{P1@<Z`e0"
        "D#{L!^B>{?u=#eB;CnxL#wN@tZohG%b{%RdeICL}r<~EcncNr8JK=-0E=paPWsJzmA_cU_&<g~KZcl+L"
        "a}v#q>w<^DR4R3^x{ZqvZ;#u|w4lxMGSFvwi~DcpRabcT`er2Y`FDdep`7ZDa^7)oE<b^-TGE(TQnj0>"
        "CwXRZI!b@mnrKRdkdbl!>}0oVOi-#dj<!BkCibU$WY51WB~LB9^7xB3`iw56x2|}M27NtBd}eNB@#})q"
        "m?<}>h=g64+o%(ByN5~r<%oo*G!#3y#<Q&a(p8Rao$kQuSPOH<Q~iM>oxC}&U7nDLr5~;MyqS3Pk9Tb>"
        "{1z(4)Ze>b5^3qXy;kI1(gq@Qr4UB^4xj^aZ#tJb6ZL<Jx+%GjFE9cY>j`V|Lg*iN-zD8RMMHG|`Fsz7"
        "OvE8;L|?4_=PHfo*CdYq3Qe9}IraW?Q`9#OACg2A`N^HGsDj2Ns4-T3Ab9kYllX{G!%E#0Xe<K*8efB~"
        "vQ$`NKP~wz2w(o%VP#G?rF5m_*5GLKG*gC2r>>J>9JRimtEy@7V3|99F`}NMy|U8?;yRnoR!}p(+hP)n"
        "duvzp(!+bm)Hg*PzO>QH&X|>67&t6%z36#0iQHmOAu72P>6ODpPei@mZ7Cx+J&?S*<DjA7r>h@p%+aLK"
        "KqDA^-*HLnlO!ZfR*}3pWLBH8m^EaGtgcMzvO&?E^sB*ghhw3y+7~U&{W9j*>F=6gt)yce3GCK{ZR*Lx"
        "<Q}a*-RwW<>{5Lx5i1fk99})opCSGHd=6)-plp1q!Hs|tBx~bX;^(F7C*)cf3sTf-?&5987jwo(FS#S&"
        "=5P5a9|#X!)e5HSfU|gr`&ZuNZ}$3C@zQhDsj8Pf-LO{3IqM%)KMTXW_IiU<_n@G+Tr_z~QQ-|5_Nv0I"
        "Itj!2kTpvkDfXFxgiqMgxBX1f*t>1FR^MK}9z1v5bO)JAUzvkm-%rg({beiu)-I?=dvr>Tz)AI~Fa95%"
        "0)-58BRi$85pa0<2gvjiZ9B!+awP#Bh!IX3j0LA7T3XYu0lqK`%9drMB_Z$vC=A->7IS?WX5!Tm)JZ1W"
        "bnS9uP$?53)Lm8HsWWY8os3vT=%)051C6rnDX<MiZx3^!u9D0cn)v@tCu}Y-czlKfVz>*Tr|~n0Ipd<a"
        "eqX6%ob6iVC4sqX$Vc&q=e<bRclgPmkJ%5I6gMxKfpS+!7wY+CYG@XbVUHK#xG7K4fCshbOfgv;@6kT-"
        "ns&$f7Z1yCfZKi#Ir!0!ao&He8#A^t`7BP1>~s%tbo%;YgzSt;O_!W4WBj0V@MWgbrBaGNuG>!Wny=yl"
        "2kkoDT`*=0Ig&bvmBZ`@aFb)X9tp1BwAvZ7nML#bjlZ3ZI(N;|Ct(M<7A#{|q`;-5BZA!@=d8&D7sKMW"
        "Fk)|*KBwOvUszv1hHHz_632m*bcsUAW;n^nD0ao{h=^!cTaB<W@<ytS^zqsNsfN{>I>9+R%e9!L!<(Xf"
        ";g43Ax`3G(q&0YA2@LeC%Ye4>>sUfRRO**BS8eFnI<5#7C_~(IC%@gY$HV;$9F#A~l2d_tY@FI|R}Izs"
        "%z`mel6{1UaSe*`*spBk7tf;EQ9#)4R!H?*__pY}^6V$OPzOx|e5N*d7?11qQmrGfrN>x~IZ-f6D3rRE"
        "1h;8goI$@*P1KinH52T^lM>EUC<h_(cHy)%y-5u_h<K_Iq<0fmmPVs)BOAC!vbJ|{@8)7TW~zMPy?+o*"
        "N6F1Om!srOE;Wcg@dQ}Z-84;Niv6J<fg8V~N$;Kz^Lc@$Mb4x6L{g$bdrU37Hx0OM-c)1!G-gJz1KG_`"
        "^gl!p35K77+(?)$^s|2q!rx1?<6&nQo{hM+?vRMoyZ}iwXxhkSM?<p<(UWV1q_xTHOco$|TcAf2=U3i^"
        "uOl&(zH@sfvfW*f0ZN8+j8T6E(jFV82A$f(zCtkyVRF*gy6-GIkZ1CYoQOEUpYAabeEhw{mGs7{(r4$N"
        "|08!ZZKK?pP{Z+-!5C9$O?Q9^=p(Opx`~rz&e_#==qh!K1@>Cb4b!arXu7&^ESOv}|7=NffVxPGg&vou"
        "-M+d1?Cy7R^c~uu9NUxz_Ce44nIV?@egb5Z>sC~tmNM$r+*YsN`qOY#r0yyjhT#VK0govdLef@6f|T`6"
        "rs$9x87@qQul($fPc6_83S-{b2w&_j_45rL_mtSB4IF-3t=E9$W`4cy%#&@R@DeF|2Q_A9>803&qQs5`"
        "da05($GP!nO8~3J$7Z8EzqVU^*!3rRD`@`w;S)B36c-bM_FID<#n7tuT6xV7s!s2H;K6XrJg7C8^9*J-"
        "%T`tKTArCDPb~1wM(nJ?imye}Tr^w5w}EKa88zfZ7(_{pa6oX>se1~<OgQg7Pc_8B4b0tab75Y|{Bh>z"
        "b=9op^bzlN5n0zYu|&ni6NWqF1tKiRQ7{8@jVTc}H6<?y9q@&JF~U6TB1AVPv4=s7+76PdrLMbqG42Ug"
        "2XNSgbg?K5Aq4%$v;R9tIrLSf?A)4Q5$P3tBWNcGi?#Z#ECqs!RnM5dzW5LMDpiM#s@f@5_=;qp4GC^i"
        "{-f)yQ*olos22sN<oK;o(s#02(9BSWeQ$}2>2u&PiLOa97Gdc@P>>^SHnjnhupq5~d+z_!dc@^~8{$*1"
        ";l0^7h*FTwmIULg6)Xp$G9W1F9j7?Z{i8y0JkhQ0;=rxGVwh1egdNM`j8DiQJJG&T!$#D;Rg5KtnurmT"
        "4==+F79b&9sn~o1-KF@SzqSlq?*9!$7jCO2G4=(B!3TlG2q&G2S)q{t*Bv^K(GF4vIjOIRDL{R0$Kg36"
        "0&Nd(*8v^Qj9hgZqb=bgT&WY$A=b>06pGh#v-a^61)i5?(6&=G^K{%eS(}#@ZWq$d!AtW*Ced#QR8+bf"
        "xJQ}%UKHS;n$K@wB7a-a>rbRe7?8pyJq*;o5fi}*YFQC5nh?6d883l6FQN;lQ0ghvAgSqNZgmFaQBslA"
        "6{Xm<C;cIdLfeh_^SkW2RpN(A;15iQ@z`o2Xv44rfC;J#9-~c>^|gB|x2Jp2-X6u1gH9@)4Znt(1|&r8"
        "Tz3iKJ<hI2&e96H#0*b_8nYhNEn2CyY4-$eNVS_KlAvVsX#&VIhcq;v`|{m%p~4`L8CH$Mq>7Ny(i@Xl"
        "xJmzOva>pzQ_aK9PEzxs0TPXh_5Lj8%(YaKjRaU$T49nT_Wfg-)p^84l(KPZ73F^lzfjCv0%j1(sUrg+"
        "H4^j{3uz)3Z>P0$M+g|l{aa!3JDEa(o;l2*sZPv3>g5V8Kblmi6Rp6{Lr~yF_eCNf2v~f%3eq@v>~D=_"
        "&Zh?bq<~m1{-=Hm4cV@l89GvOobc^Gy2(~#ls(V-Iib2nM_uM51_qb4<0aW@Nry`EU+5SL*O$D1kq<}+"
        "#dH5SXE4??H_V#CVuQID3>aC3ix%zS(5CgGxd#q&f*A$tDx@L}V_#Wes3?`TMd@J=lhN_yWfZ?eA<<aK"
        "u`-nltfYi7V?Me1k9g>H"
    )
