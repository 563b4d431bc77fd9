"""Hand-written molecules by family: the chemistry that a general student should have seen, as SMILES.

Every entry is a neutral closed-shell molecule of H, C, N, O, F, P, S and Cl with 1 to 30 heavy atoms. Formal
charges occur only on neighbouring atoms, where Lewis structures need them (nitro, N-oxide, azide, isocyanide,
diazo). Stereocentres are left open; double bonds are marked where both isomers matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mlff_distiller.data.named_molecules import NAMED_FAMILIES

_SMALL: dict[str, str] = {
    "small gases and inorganic molecules": """
        O N C F Cl S P N#N FF ClCl FCl OO NN NO N=N O=C=O [C-]#[O+] C#N [N-]=[N+]=O N=C=O N=[N+]=[N-] OC#N
        O=S=O O=S(=O)=O S=C=S O=C=S ON=O O[N+](=O)[O-] OCl ClOCl FOF FN(F)F ClN(Cl)Cl NCl NF ClN=O FN=O
        F[N+](=O)[O-] FP(F)F ClP(Cl)Cl PP SS SSS SSSS OS(=O)(=O)O OS(O)=O OP(O)(O)=O OP(O)O O=P(O)O O=PO
        FS(F)=O ClS(Cl)=O FS(F)(=O)=O ClS(Cl)(=O)=O ClS(=O)(=O)O ClSCl FSF ClSSCl NS(N)(=O)=O NS(=O)(=O)O
        O=P(Cl)(Cl)Cl O=P(F)(F)F S=P(Cl)(Cl)Cl FP(F)(F)(F)F OOO NNN NP NS NC#N N#CC#N N#CCl N#CF S=C=N SC#N
        O=C(Cl)Cl O=C(F)F O=C(F)Cl S=C(Cl)Cl C=O C=S C=N C=P C#P FC=O ClC=O OC=O OC(O)=O NC=O NC(N)=O O=CC=O
        N#CC=O OP(=O)(O)OP(=O)(O)O O=C=C=C=O
    """,
    "alkanes": """
        CC CCC CCCC CC(C)C CCCCC CCC(C)C CC(C)(C)C CCCCCC CCC(C)CC CC(C)C(C)C CCCC(C)C CCC(C)(C)C CCCCCCC
        CCCCCCCC CC(C)CC(C)(C)C CC(C)(C)C(C)(C)C CCC(CC)CC CCCCCCCCC CCCCCCCCCC CC(C)C(C(C)C)C(C)C
        CCCCCCCCCCCC CCCCCCCCCCCCCCCC CCC(CC)(CC)CC
    """,
    "cycloalkanes": """
        C1CC1 C1CCC1 C1CCCC1 C1CCCCC1 C1CCCCCC1 C1CCCCCCC1 C1CCCCCCCCC1 CC1CC1 CC1(C)CC1 CC1CC1C CC1CCC1
        CC1CCCC1 CC1CCCCC1 CC1CCCCC1C CC1CCC(C)CC1 C1CC1C1CC1 C1CCC(CC1)C1CCCCC1 CC(C)(C)C1CCCCC1
        C1CCC2CCCCC2C1 C1CCC2CCCC2C1 C1CC2CCCC2C1
    """,
    "strained and cage hydrocarbons": """
        C1C2CC12 C1CC2CC12 C1CC2CCC12 C1C2CC1C2 C1CC2CC1C2 C1CC2CCC1C2 C1CC2CCC1CC2 C1CCC2(CC1)CC2 C1CC11CC1
        C1CC2(C1)CCC2 C12C3C4C1C5C2C3C45 C1C2CC3CC1CC(C2)C3 C1=CC1 C1=CCC1 C1=CC2CC1C=C2 C1=CC2CCC1C2
        C1=CC2CCC1CC2 C=C1CC1 C=C1CCC1 C=C1CC1=C C12C3C1C23 C1=CC2CC12 C1=CC2C=CC12 C1=CC2C3CC1C23
        C1C2C3CC4C1C2C34 C1=CC2C=CC1C=C2 C1C2CC3CC1C3C2 C1CC2CC3CC1CC23 C1C2C3C4C1C1C2C3C41 C#CC1CC1
        C1CC1C1CCC1 C1CC1=C1CC1 CC12CC(C1)C2 FC12CC(C1)C2 OC(=O)C12CC(C1)C2 C1C2CC3C1C32 C1CC12CCC2
    """,
    "alkenes": """
        C=C CC=C CCC=C C/C=C/C C/C=C\\C CC(C)=C CCCC=C CC(C)=CC CC(C)=C(C)C CCC(C)=C CC(C)C=C CC(C)(C)C=C
        CCCCC=C CC/C=C/CC CC/C=C\\CC CC(C)(C)/C=C/C(C)(C)C C1=CCCC1 C1=CCCCC1 C1=CCCCCC1 C1=CCCCCCC1 CC1=CCCC1
        CC1=CCCCC1 C=C1CCCC1 C=C1CCCCC1 C=CC1CCCCC1 C=CC1CC1 CC=C1CCCC1 CCCCCCC=C C1CCC2=C(C1)CCCC2
    """,
    "dienes, polyenes, allenes and cumulenes": """
        C=CC=C CC=CC=C C=C(C)C=C C=C(C)C(C)=C C=CCC=C C=CCCC=C C=C=C CC=C=C CC=C=CC CC(C)=C=C CC(C)=C=C(C)C
        C=C=C=C C1=CCC=C1 C1=CC=CCC1 C1=CCC=CC1 C1=CC=CC=CC1 C1=CC=CCCC1 C=CC=CC=C CC=CC=CC=CC C1=CC=CC=CC=C1
        C=C1C=CC=C1 CC1=CC=CC1 C=C1C=CC(=C)C=C1 C=C1CCCCC1=C C1CC=CCCC=C1 C=CC(=C)C=C C1=CC2=CC=CC2=C1
    """,
    "alkynes": """
        C#C CC#C CC#CC CCC#C CCC#CC CC(C)C#C CC(C)(C)C#C C#CC#C CC#CC#C CC#CC#CC C=CC#C CC=CC#C C#CCC#C
        C#CC=CC#C C#CCCC#C CCCCC#C CCC#CCC CC(=C)C#C C#CC(C#C)=C C#CC1CCCCC1
    """,
    "aromatic hydrocarbons": """
        c1ccccc1 Cc1ccccc1 CCc1ccccc1 Cc1ccccc1C Cc1cccc(C)c1 Cc1ccc(C)cc1 Cc1cc(C)cc(C)c1 CC(C)c1ccccc1
        CC(C)(C)c1ccccc1 CCCc1ccccc1 C=Cc1ccccc1 C#Cc1ccccc1 CC(=C)c1ccccc1 C/C=C/c1ccccc1 c1ccc2ccccc2c1
        Cc1cccc2ccccc12 Cc1ccc2ccccc2c1 c1ccc(cc1)-c1ccccc1 C1Cc2ccccc2C1 C1=Cc2ccccc2C1 C1CCc2ccccc2C1
        c1ccc2cccc-2cc1 C1c2ccccc2-c2ccccc12 c1ccc2cc3ccccc3cc2c1 c1ccc2c(c1)ccc1ccccc12
        c1cc2cccc3ccc4cccc1c4c23 C(c1ccccc1)c1ccccc1 C(Cc1ccccc1)c1ccccc1 C(=C/c1ccccc1)\\c1ccccc1
        C(#Cc1ccccc1)c1ccccc1 C1CC1c1ccccc1 C1CCC(CC1)c1ccccc1 Cc1c(C)c(C)c(C)c(C)c1C C1C=Cc2cccc3cccc1c23
        C1Cc2cccc3cccc1c23
    """,
    "alcohols and phenols": """
        CO CCO CCCO CC(C)O CCCCO CCC(C)O CC(C)CO CC(C)(C)O CCCCCO CCCCCCO CC(C)CCO OC1CC1 OC1CCC1 OC1CCCC1
        OC1CCCCC1 OCC=C OCC#C CC(O)C=C CC(O)C#C OCc1ccccc1 OCCc1ccccc1 CC(O)c1ccccc1 Oc1ccccc1 Cc1ccccc1O
        Cc1cccc(O)c1 Cc1ccc(O)cc1 Oc1ccccc1O Oc1cccc(O)c1 Oc1ccc(O)cc1 Oc1cc(O)cc(O)c1 Oc1cccc2ccccc12
        Oc1ccc2ccccc2c1 OCC1CC1 OC1CC2CCC1C2 CC(C)(C)c1ccc(O)cc1 C=CO CC(=C)O OC(C(F)(F)F)C(F)(F)F OCC(F)(F)F
        OCCCl OCCF OCC(Cl)(Cl)Cl CCCCCCCCO
    """,
    "diols and polyols": """
        OCCO CC(O)CO OCCCO OCC(O)CO CC(O)C(C)O OCCCCO OCC(O)C(O)CO OC1CCCCC1O OC1CCC(O)CC1 OCC(CO)(CO)CO
        CC(C)(O)C(C)(C)O OCC#CCO OCC=CCO OCC(C)(C)CO OCCOCCO OCCOCCOCCO OCO CC(O)CC(C)O OC1C(O)C(O)C(O)C(O)C1O
        OC1CCCC1O OC1CC(O)C1 OCC(O)CCl
    """,
    "ethers and acetals": """
        COC CCOC CCOCC CC(C)OC(C)C COC(C)(C)C COCCOC COCCOCCOC COCCO CCOCCO COC=C CCOC=C C=COC=C C=CCOCC=C
        C#CCOC COc1ccccc1 CCOc1ccccc1 COc1ccccc1OC COc1ccc(OC)cc1 c1ccc(cc1)Oc1ccccc1 C1CCOC1 C1CCOCC1
        C1COCCO1 C1COCO1 C1OCOCO1 C1COCOC1 COCOC CCOC(C)OCC COC(OC)OC COC(C)(C)OC COC1CCCO1 CC1CCCO1 CC1OCCO1
        C1CC=CO1 C1=CCOC1 C1=CCCOC1 C1=COC=CC1 C1CCCOCC1 c1ccc2c(c1)OCO2 c1ccc2c(c1)OCCO2 C1Cc2ccccc2O1
        C1CCc2ccccc2O1 C1COCCOCCOCCO1 FC(F)(F)OC(F)(F)F COC1CCCCC1 C1CC2CCC1O2 C1OC2COC1C2 O1CCOC11CCCC1
    """,
    "peroxides": """
        COO CCOO COOC CC(C)(C)OO CC(C)(C)OOC(C)(C)C CC(=O)OO OOC=O CC(C)OO C=CCOO OOCc1ccccc1 C1COOC1 C1CCOOC1
        C1OO1 CC(=O)OOC(C)=O C1OOCO1 C1CCC2OOC2C1 C1=CC2C=CC1OO2
    """,
    "small oxygen, sulphur and nitrogen rings": """
        C1CO1 CC1CO1 CC1OC1C CC1(C)CO1 C=CC1CO1 OCC1CO1 ClCC1CO1 FC(F)(F)C1CO1 c1ccc(cc1)C1CO1 C1CCC2OC2C1
        C1CC2OC2C1 COCC1CO1 O=CC1CO1 C1CN1 CN1CC1 CC1CN1 CC(=O)N1CC1 C1CS1 CC1CS1 C1COC1 C1COC1=O CC1(C)COC1
        OC1COC1 NC1COC1 O=C1COC1 C1CNC1 CN1CCC1 OC1CNC1 O=C1CCN1 CC(=O)N1CCC1 C1CSC1 O=S1(=O)CCC1 OC1CSC1
        C1NN1 C1ON1 C1=NC1 C1N=N1 C1CP1 O=C1CC1 O=C1C=C1 C=C1CO1 FC1(F)CC1 ClC1(Cl)CC1 C1C2CC2O1 C1OC11CC1
        C1OC11COC1 N1CC11CC1 C1CC11CNC1 C1OCC12CNC2 CP1CC1 N#CC1CC1 NC1CC1 OC(=O)C1CC1 OC(=O)C1CN1 O=CC1CC1
        CC(=O)C1CC1 NC(=O)C1CO1 OC(=O)C1CO1 C1N2CC12 C1CN2CC2C1
    """,
    "aldehydes": """
        CC=O CCC=O CCCC=O CC(C)C=O CC(C)(C)C=O C=CC=O CC=CC=O CC(=C)C=O C#CC=O OCC=O OCC(O)C=O O=CCC=O
        O=CCCC=O O=Cc1ccccc1 O=Cc1ccccc1O Cc1ccc(C=O)cc1 COc1ccc(C=O)cc1 O=CCc1ccccc1 O=C/C=C/c1ccccc1
        O=CC1CCCCC1 ClCC=O ClC(Cl)(Cl)C=O FC(F)(F)C=O O=Cc1ccccc1C=O Nc1ccccc1C=O O=CC=CC=O CSCCC=O O=CCCCC=O
    """,
    "ketones, quinones and ketenes": """
        CC(C)=O CCC(C)=O CCC(=O)CC CC(C)C(C)=O CCCC(C)=O CC(=O)C(C)(C)C CC(C)C(=O)C(C)C CC(C)(C)C(=O)C(C)(C)C
        CC(=O)C=C CC(=O)C=C(C)C CC(=O)C#C CC(=O)C(C)=O CC(=O)CC(C)=O CC(=O)CCC(C)=O CC(=O)CO OCC(=O)CO
        CC(=O)c1ccccc1 O=C(c1ccccc1)c1ccccc1 O=C1CCC1 O=C1CCCC1 O=C1CCCCC1 O=C1CCCCCC1 O=C1C=CCC1 O=C1C=CCCC1
        O=C1CCCC1=O O=C1CCC(=O)CC1 O=C1CC(=O)CC(=O)C1 O=C1CCCC(=O)C1 O=C1C=CC(=O)C=C1 O=C1C=CC=CC1=O
        O=C1C=CC(=O)c2ccccc12 O=C1c2ccccc2C(=O)c2ccccc12 O=C1C=CC=CC=C1 O=C1CCc2ccccc12 O=C1CCCc2ccccc12
        O=C1c2ccccc2-c2ccccc12 O=C1CC2CCC1C2 C=C=O CC=C=O CC(C)=C=O CC(=O)CCl CC(=O)C(F)(F)F
        FC(F)(F)C(=O)C(F)(F)F ClCC(=O)CCl O=C1CCOC1 O=C1CCOCC1 O=C1C=COC=C1 CC(O)=CC(C)=O CC(=O)CC#N
        CC(=O)C1CCCCC1 CC1(C)CC(=O)CC(C)(C)C1 O=C1CCCCCCC1 O=C(C1CC1)C1CC1 CCC(=O)c1ccccc1
    """,
    "carboxylic acids": """
        CC(=O)O CCC(=O)O CCCC(=O)O CC(C)C(=O)O CC(C)(C)C(=O)O CCCCC(=O)O CCCCCC(=O)O C=CC(=O)O CC=CC(=O)O
        CC(=C)C(=O)O C#CC(=O)O OCC(=O)O CC(O)C(=O)O CC(=O)C(=O)O O=CC(=O)O OC(=O)C(=O)O OC(=O)CC(=O)O
        OC(=O)CCC(=O)O OC(=O)/C=C/C(=O)O OC(=O)/C=C\\C(=O)O OC(=O)CCCC(=O)O OC(=O)CCCCC(=O)O OC(=O)CC(O)C(=O)O
        OC(=O)C(O)C(O)C(=O)O OC(=O)CC(O)(CC(=O)O)C(=O)O OC(=O)c1ccccc1 OC(=O)c1ccccc1O OC(=O)c1ccccc1C(=O)O
        OC(=O)c1ccc(cc1)C(=O)O Cc1ccc(cc1)C(=O)O OC(=O)c1ccc(O)cc1 OC(=O)Cc1ccccc1 OC(=O)/C=C/c1ccccc1
        FC(F)(F)C(=O)O ClCC(=O)O ClC(Cl)(Cl)C(=O)O FCC(=O)O N#CCC(=O)O OC(=O)C1CCCCC1 OC(=O)CCC(=O)C(=O)O
        CC(=O)CC(=O)O OC(=O)COCC(=O)O SCC(=O)O CC(S)C(=O)O COCC(=O)O OC(=O)C#CC(=O)O OC(=O)C1CCC1
        OC(=O)C(=C)CC(=O)O OC(C(=O)O)c1ccccc1
    """,
    "esters and lactones": """
        COC=O CCOC=O COC(C)=O CCOC(C)=O CC(=O)OC=C CC(=O)OC(C)C CC(=O)OC(C)(C)C CCC(=O)OC CCCC(=O)OCC
        CCCCOC(C)=O COC(=O)C=C COC(=O)C(C)=C COC(=O)C#C COC(=O)CC(=O)OC COC(=O)C(=O)OC CCOC(=O)CC(=O)OCC
        COC(=O)CC(C)=O CCOC(=O)CC#N COC(=O)c1ccccc1 CC(=O)Oc1ccccc1 CC(=O)OCc1ccccc1 COC(=O)c1ccccc1O
        COC(=O)C(F)(F)F CC(=O)OCC(F)(F)F CCOC(=O)C=CC(=O)OCC CC(=O)OCCOC(C)=O CC(=O)OCC(COC(C)=O)OC(C)=O
        O=C1CCCO1 O=C1CCCCO1 O=C1CCCCCO1 O=C1C=CCO1 O=C1C=CC=CO1 CC1CC(=O)O1 CC1CCC(=O)O1 C=C1CC(=O)O1
        O=C1OCc2ccccc12 O=C1C=Cc2ccccc2O1 CC1OC(=O)C(C)OC1=O C=C1CCOC1=O COC(=O)C1CC1 COC(=O)CO
        COC(=O)COC(C)=O CC(C)COC(=O)C(C)C O=C1COCCO1 O=COCc1ccccc1
    """,
    "anhydrides, carbonates and acyl halides": """
        CC(=O)OC(C)=O O=COC=O CC(=O)OC=O FC(F)(F)C(=O)OC(=O)C(F)(F)F O=C1CCC(=O)O1 O=C1C=CC(=O)O1
        O=C1OC(=O)c2ccccc12 O=C1CCCC(=O)O1 COC(=O)OC CCOC(=O)OCC O=C1OCCO1 CC1COC(=O)O1 O=C1OC=CO1 O=C1OCCCO1
        COC(=O)O CC(C)(C)OC(=O)OC(=O)OC(C)(C)C COC(=O)Cl CC(=O)Cl CC(=O)F CCC(=O)Cl O=C(Cl)c1ccccc1
        O=C(Cl)C(=O)Cl ClCC(=O)Cl C=CC(=O)Cl O=C(F)c1ccccc1 O=C(Cl)CC(=O)Cl CCOC(=O)Cl
    """,
    "amides, lactams and imides": """
        CC(N)=O CCC(N)=O CNC=O CN(C)C=O CNC(C)=O CN(C)C(C)=O CCNC(C)=O C=CC(N)=O CC(=C)C(N)=O CC(C)(C)C(N)=O
        NC(=O)C(N)=O NC(=O)CC(N)=O NC(=O)CCC(N)=O NC(=O)c1ccccc1 CNC(=O)c1ccccc1 CC(=O)Nc1ccccc1 O=CNc1ccccc1
        NC(=O)C(F)(F)F CNC(=O)C(F)(F)F NC(=O)CCl NC(=O)CO O=C1CCCN1 CN1CCCC1=O O=C1CCCCN1 O=C1CCCCCN1
        C=CN1CCCC1=O O=C1CCC(=O)N1 CN1C(=O)CCC1=O O=C1C=CC(=O)N1 CN1C(=O)C=CC1=O O=C1CCCC(=O)N1
        O=C1NC(=O)c2ccccc12 O=C1Nc2ccccc2C1 O=C1CNC(=O)CN1 CC1NC(=O)C(C)NC1=O CC(=O)NC(C)=O O=CNC=O CN(C=O)C=O
        O=CN1CCCCC1 O=CN1CCOCC1 CC(=O)N1CCCC1 O=C1C=CC=CN1 O=C1CC=CN1 O=C1NCc2ccccc12 NC(=O)C#N CONC(C)=O
        CC(=O)NO ONC=O NNC(C)=O CC(=O)NCC(=O)O CN(C)C(=O)C=C O=C1CCN1c1ccccc1 O=C1CC2CCN12 O=C1CNCCN1
    """,
    "ureas, carbamates and guanidines": """
        CNC(N)=O CNC(=O)NC CN(C)C(N)=O CN(C)C(=O)N(C)C NC(=O)Nc1ccccc1 O=C1NCCN1 CN1CCN(C)C1=O O=C1NCCCN1
        O=C1NC=CN1 O=C1CNC(=O)N1 NC(=O)NC(N)=O O=C1CC(=O)NC(=O)N1 NNC(N)=O NNC(=O)NN NC(=O)O COC(N)=O
        CCOC(N)=O CNC(=O)OC COC(=O)N(C)C O=C1NCCO1 O=C1NCCCO1 COC(=O)Nc1ccccc1 CC(C)(C)OC(N)=O NC(N)=N
        CNC(N)=N CN(C)C(=N)N(C)C NC(=N)NC(N)=N NC(=N)NC#N N=C1NCCN1 NNC(N)=N CN=C(N)NC C1CN=C2NCCCN2C1
        NC(=N)NO ONC(N)=O COC(=N)N O=C1Nc2ccccc2N1 O=C1Nc2ccccc2O1 O=C1C(=O)NC(=O)N1
    """,
    "amines": """
        CN CCN CNC CN(C)C CCNC CCNCC CCN(CC)CC CCCN CC(C)N CC(C)(C)N CC(C)NC(C)C NCC=C NCC#C CCCCN CC(C)CN
        NC1CCCC1 NC1CCCCC1 NCCN NCCCN NCCCCN CNCCNC CN(C)CCN(C)C NCCNCCN NCCO NCCCO CNCCO CN(C)CCO OCCNCCO
        OCCN(CCO)CCO NCc1ccccc1 NCCc1ccccc1 CC(N)Cc1ccccc1 Nc1ccccc1 CNc1ccccc1 CN(C)c1ccccc1 Cc1ccc(N)cc1
        Nc1ccccc1N Nc1ccc(N)cc1 Nc1ccc(O)cc1 COc1ccc(N)cc1 Nc1cccc2ccccc12 c1ccc(cc1)Nc1ccccc1 NCC(F)(F)F
        NCC#N NCCF NCCCl CN(C)C#N CN(C)C=C CN(C)CN(C)C NC1CCC1 C1CCNC1 C1CCNCC1 C1CNCCN1 C1COCCN1 C1CSCCN1
        C1CCCNCC1 CN1CCCC1 CN1CCCCC1 CN1CCOCC1 CN1CCN(C)CC1 C1CC2CCN1CC2 C1CN2CCN1CC2 C1CC2CCC1N2 CN1C2CCC1CC2
        C1N2CN3CN1CN(C2)C3 C1NCNCN1 C1CNCN1 C1CNCNC1 C1=CCNC1 C1=CCNCC1 C1Cc2ccccc2N1 C1CNc2ccccc2C1
        C1NCc2ccccc12 C1CCN2CCCC2C1 NCCS NCCSSCCN CC1CCCN1 CC1CCCCN1 CC1(C)CCCC(C)(C)N1 C1CNCCNCCN1
    """,
    "imines, amidines, oximes and hydrazones": """
        CC=N CN=C CC=NC CC(C)=N CC(C)=NC C=CC=N N=Cc1ccccc1 CN=Cc1ccccc1 C(=Nc1ccccc1)c1ccccc1 C1CC=NC1
        C1CCC=NC1 CC1=NCCC1 N=CN CC(N)=N CN=CN(C)C NC(=N)c1ccccc1 C1CN=CN1 CC1=NCCN1 C1CCC2=NCCCN2CC1 C1CN=CO1
        CC1=NCCO1 CC1=NCCS1 C=NO CC=NO CC(C)=NO CON=C ON=CC=NO CC(=NO)C(C)=O ON=Cc1ccccc1 ON=C1CCCCC1
        ON=C1CCCC1 C=NN CC=NN CN(C)N=C CC(C)=NNC(N)=O NN=Cc1ccccc1 C=NN=C CC=NN=CC CC(C)=NN=C(C)C
        CC1=NNC(=O)C1 C1CC=NN1 C1CC=NO1 NC(=N)C(N)=N N=C1CCCCC1 COC(C)=N CN=C=NC CC(C)N=C=NC(C)C C=C=N
        CC(N)=NO
    """,
    "hydrazines and hydroxylamines": """
        CNN CN(C)N CNNC CN(C)N(C)C NNc1ccccc1 CCNN NN1CCOCC1 NN1CCCCC1 C1CCNN1 C1CCNNC1 CNO CON CNOC CN(C)O
        CN(C)OC NOCc1ccccc1 ONC1CCCCC1 ON1CCCCC1 C1CCON1 C1CCONC1 ON1C(=O)CCC1=O NNC(=O)C(=O)NN
        NNC(=O)c1ccccc1 NNCCO
    """,
    "nitriles, isonitriles, isocyanates and cyanates": """
        CC#N CCC#N CCCC#N CC(C)C#N CC(C)(C)C#N C=CC#N CC(=C)C#N CC=CC#N N#CC#CC#N C#CC#N N#CCC#N N#CCCC#N
        N#CC=CC#N N#CC(C#N)=C(C#N)C#N N#Cc1ccccc1 N#CCc1ccccc1 N#Cc1ccccc1C#N N#CCO CC(O)C#N CC(C)(O)C#N
        FC(F)(F)C#N ClCC#N ClC(Cl)(Cl)C#N COCC#N COC#N CSC#N CN(C)CC#N N#CC1CCCCC1 N#CC1CCC1 N#CC(C#N)C#N
        CC(=O)C#N C[N+]#[C-] CC[N+]#[C-] [C-]#[N+]c1ccccc1 [C-]#[N+]C1CCCCC1 CC(C)(C)[N+]#[C-] CN=C=O CCN=C=O
        O=C=Nc1ccccc1 O=C=NC1CCCCC1 CN=C=S CCN=C=S S=C=Nc1ccccc1 C=CCN=C=S O=C=NCCCCCCN=C=O C=CN=C=O
        CC#[N+][O-] N#CSC#N N#CN=[N+]=[N-]
    """,
    "nitro, nitroso, nitrites and nitrates": """
        C[N+](=O)[O-] CC[N+](=O)[O-] CC(C)[N+](=O)[O-] CC(C)(C)[N+](=O)[O-] C=C[N+](=O)[O-] C(O)[N+](=O)[O-]
        OCC[N+](=O)[O-] ClC(Cl)(Cl)[N+](=O)[O-] C([N+](=O)[O-])[N+](=O)[O-] [O-][N+](=O)c1ccccc1
        Cc1ccc(cc1)[N+](=O)[O-] Nc1ccc(cc1)[N+](=O)[O-] Oc1ccc(cc1)[N+](=O)[O-] Oc1ccccc1[N+](=O)[O-]
        [O-][N+](=O)c1cccc(c1)[N+](=O)[O-] Cc1c(cc(cc1[N+](=O)[O-])[N+](=O)[O-])[N+](=O)[O-]
        Fc1ccc(cc1)[N+](=O)[O-] CO[N+](=O)[O-] CCO[N+](=O)[O-] O=[N+]([O-])OCC(CO[N+](=O)[O-])O[N+](=O)[O-]
        CON=O CCON=O CC(C)CCON=O CN=O CC(C)(C)N=O O=Nc1ccccc1 CN(C)N=O CCN(CC)N=O O=NN1CCCC1 O=NN1CCOCC1
        CN(C)[N+](=O)[O-] N[N+](=O)[O-] CN[N+](=O)[O-] [O-][N+](=O)C1CCCCC1 [O-][N+](=O)/C=C/c1ccccc1
        O=NC1CCCCC1 O=[N+]([O-])N1CN(CN(C1)[N+](=O)[O-])[N+](=O)[O-] C1CC1[N+](=O)[O-] CSN=O
        [O-][N+](=O)c1ccc[nH]1 [O-][N+](=O)c1ccco1 [O-][N+](=O)c1cnc[nH]1
    """,
    "azo, diazo, azides and N-oxides": """
        CN=NC CN=N CC(C)(C#N)N=NC(C)(C)C#N c1ccc(cc1)N=Nc1ccccc1 CN=Nc1ccccc1 COC(=O)N=NC(=O)OC
        NC(=O)N=NC(N)=O C1CN=NC1 C1CC2CC1N=N2 C=[N+]=[N-] CC=[N+]=[N-] COC(=O)C=[N+]=[N-] CC(=O)C=[N+]=[N-]
        [N-]=[N+]=Cc1ccccc1 CN=[N+]=[N-] CCN=[N+]=[N-] [N-]=[N+]=NCc1ccccc1 [N-]=[N+]=Nc1ccccc1 C=CN=[N+]=[N-]
        C=CCN=[N+]=[N-] [N-]=[N+]=NCCO CC(=O)N=[N+]=[N-] OC(=O)CN=[N+]=[N-] [N-]=[N+]=NC1CCCCC1
        C[N+](C)(C)[O-] C[N+]1([O-])CCOCC1 [O-][n+]1ccccc1 Cc1cccc[n+]1[O-] [O-][n+]1ccncc1 C=[N+](C)[O-]
        CC=[N+](C)[O-] C[N+]([O-])=Cc1ccccc1 C1CC=[N+]([O-])C1 CN=[N+](C)[O-] [O-][N+](=Nc1ccccc1)c1ccccc1
        CN(C)N=NC CN(C)N=Nc1ccccc1 C[N+]1([O-])CCCC1
    """,
    "thiols, sulfides, disulfides and thiocarbonyls": """
        CS CCS CCCS CC(C)S CC(C)(C)S SCCS SCCO SCCCS Sc1ccccc1 SCc1ccccc1 SC1CCCCC1 SCC=C CSC CCSC CCSCC CSC=C
        CSCC=C CSCSC CSCCSC CSc1ccccc1 c1ccc(cc1)Sc1ccccc1 CSSC CCSSCC CSSCC=C c1ccc(cc1)SSc1ccccc1 CSSSC
        C1CCSC1 C1CCSCC1 C1CSCCS1 C1CSCS1 C1SCSCS1 C1CSCSC1 C1CSSC1 C1CCSSC1 C1CCCSCC1 C1CSCO1 C1COCCS1
        C1=CCSC1 C1=CSC=CC1 CSCCO CSCC#N ClCCSCCCl FC(F)(F)SC(F)(F)F CSC(F)(F)F SCC(O)C(O)CS CC=S CC(C)=S
        CC(=S)c1ccccc1 NC=S CC(N)=S CN(C)C=S CNC(C)=S CN(C)C(C)=S NC(=S)c1ccccc1 NC(N)=S CNC(N)=S CNC(=S)NC
        S=C1NCCN1 NNC(N)=S NC(=S)C(N)=S CSC(N)=N CC(=S)S CSC(C)=S CSC(=S)SC CN(C)C(S)=S CN(C)C(=S)SC S=C1NCCS1
        O=C1CSC(=S)N1 CC(=O)S CSC=O CC(=O)SC CC(=O)SCC CC(=O)Sc1ccccc1 COC(C)=S CSC(=O)SC COC(=S)SC O=C1CCCS1
        S=C1CCCN1 CN1CCCC1=S CSCl C1CC2CCC1S2 S=C1SC=CS1 S=C1NC=CN1
    """,
    "sulfoxides, sulfones, sulfonamides and sulfonates": """
        CS(C)=O CCS(C)=O C=CS(C)=O CS(=O)c1ccccc1 O=S(c1ccccc1)c1ccccc1 O=S1CCCC1 O=S1CCOCC1 CSCS(C)=O
        CS(C)(=O)=O CCS(C)(=O)=O C=CS(C)(=O)=O C=CS(=O)(=O)C=C CS(=O)(=O)c1ccccc1 O=S1(=O)CCCC1 O=S1(=O)CC=CC1
        O=S1(=O)CCOCC1 O=S1(=O)CCNCC1 CS(=O)(=O)CC#N CS(=O)(=O)CS(C)(=O)=O CS(=O)O CS(=O)(=O)O CCS(=O)(=O)O
        OS(=O)(=O)c1ccccc1 Cc1ccc(cc1)S(=O)(=O)O FC(F)(F)S(=O)(=O)O OS(=O)(=O)CCS CS(=O)(=O)OC CS(=O)(=O)OCC
        COS(=O)(=O)c1ccc(C)cc1 O=S1(=O)CCCO1 COS(=O)OC COS(=O)(=O)OC COS(=O)(=O)O O=S1OCCO1 O=S1(=O)OCCO1
        CS(N)(=O)=O CNS(C)(=O)=O CN(C)S(C)(=O)=O NS(=O)(=O)c1ccccc1 Cc1ccc(cc1)S(N)(=O)=O
        Nc1ccc(cc1)S(N)(=O)=O CS(=O)(=O)Nc1ccccc1 NS(=O)(=O)C(F)(F)F CN(C)S(=O)(=O)N(C)C O=S1(=O)CCCN1
        CS(=O)(=O)Cl CS(=O)(=O)F Cc1ccc(cc1)S(=O)(=O)Cl FC(F)(F)S(=O)(=O)Cl C=CS(=O)(=O)F
        CS(=O)(=O)OS(C)(=O)=O CS(=O)Cl CS(C)(=O)=N CN=S(C)(C)=O CS(=O)OC CS(=O)SC CS(=O)(=O)SC CS(N)=O
        CC(C)(C)S(N)=O O=S(=O)(C(F)(F)F)NS(=O)(=O)C(F)(F)F C=S=O C=S(=O)=O O=S1(=O)C=CC=C1 CC(=O)NS(C)(=O)=O
        NCCS(=O)(=O)O CS(=O)(=O)C=O COS(N)(=O)=O OS(=O)(=O)CO
    """,
    "phosphines and their oxides": """
        CP CPC CP(C)C CCP CCP(CC)CC C=CP PCCP CP(C)CCP(C)C Pc1ccccc1 CPc1ccccc1 CP(C)c1ccccc1
        P(c1ccccc1)(c1ccccc1)c1ccccc1 C1CCPC1 C1CCPCC1 CP1CCCC1 CP1CC=CC1 c1ccpcc1 c1cc[pH]c1 C=PC CC#P
        CP(Cl)Cl CP(C)Cl CP(F)F ClP(Cl)c1ccccc1 FC(F)(F)P CP(C)C#N PC#N OCP OCP(CO)CO PC(=O)C CP(C)(C)=O
        C[PH2]=O C[PH](C)=O CCP(=O)(CC)CC C=CP(C)(C)=O CP(C)(=O)c1ccccc1 CP1(=O)CCCC1 CP1(=O)CC=CC1 CP(C)(C)=S
        CP(Cl)(Cl)=O CP(C)(=O)Cl CP(F)(F)=O CP(=O)(F)OC CN(C)P(N(C)C)N(C)C CN(C)P(=O)(N(C)C)N(C)C CP(C)N
        CN(C)P(C)C NP(N)(N)=O CP(C)(C)=N CP(C)(C)=C CPP CP(C)P(C)C CP(C)SC CP(C)OC O=P(CO)(CO)CO NP(C)(C)=O
        CP1CCOCC1 CP(C)CC#N
    """,
    "phosphates, phosphonates and other phosphorus acids": """
        COP(O)(O)=O COP(=O)(O)OC COP(=O)(OC)OC CCOP(O)(O)=O CCOP(=O)(OCC)OCC OP(O)(=O)OCCO OP(O)(=O)OCC(O)CO
        OP(O)(=O)OCCN OP(O)(=O)Oc1ccccc1 CP(O)(O)=O CP(=O)(O)OC COP(C)(=O)OC CCP(O)(O)=O CCOP(C)(=O)OCC
        OP(O)(=O)c1ccccc1 OP(O)(=O)CP(O)(O)=O OP(O)(=O)C=C NCP(O)(O)=O OCP(O)(O)=O OP(O)(=O)CC(=O)O
        NCCP(O)(O)=O CP(C)(=O)O CP(C)(=O)OC C[PH](=O)O C[PH](=O)OC CO[PH](=O)OC COP(OC)OC CCOP(OCC)OCC
        COP(C)OC COP(O)O COP(=S)(OC)OC COP(=O)(OC)SC CP(O)(O)=S COP(=O)(OC)Cl COP(=O)(OC)F NP(O)(O)=O
        NP(=O)(OC)OC CNP(=O)(OC)OC O=P1(O)OCCO1 COP1OCCO1 COP1(=O)OCCO1 COP1(=O)OCCCO1 O=P1(O)OCCCO1
        OP(O)(=O)OC=C OP(O)(=O)OC(=C)C(=O)O CC(=O)OP(O)(O)=O NC(=O)OP(O)(O)=O OP(O)(=O)C(=O)O COP(=O)(OC)C#N
        CP(=O)(N)OC COP(=O)(OC)C(=O)C COP(=O)(OC)CC(=O)OC COP(=O)(OC)C=C CP(O)O COP(=S)(O)OC COP(=S)(OC)SC
        OP(O)(=O)OCC=O OP(O)(=O)OCC(O)C=O OP(O)(=O)OCC(=O)CO OP(O)(=O)OCC(O)C(=O)O OP(=O)(O)OP(O)(=O)OC
        COP(=O)(O)OP(=O)(O)OC FC(F)P(O)(O)=O CP(=O)(OC)SC CP(=S)(OC)OC CCOP(C)(=O)F
    """,
    "fluorinated and chlorinated hydrocarbons": """
        CF FCF FC(F)F FC(F)(F)F CCl ClCCl ClC(Cl)Cl ClC(Cl)(Cl)Cl FCCl FC(F)Cl FC(F)(Cl)Cl FC(Cl)(Cl)Cl
        FC(F)(F)Cl FC(Cl)Cl CCF CC(F)F CC(F)(F)F FCCF FCC(F)(F)F FC(F)C(F)F FC(F)(F)C(F)F FC(F)(F)C(F)(F)F
        CCCl ClCCCl CC(Cl)Cl CC(Cl)(Cl)Cl ClC(Cl)C(Cl)Cl ClC(Cl)(Cl)C(Cl)(Cl)Cl FC(F)(F)CCl
        FC(F)(Cl)C(F)(Cl)Cl FC(F)(F)C(Cl)Cl CCCF CCCCl CC(C)F CC(C)Cl CC(C)(C)F CC(C)(C)Cl CCCCCl CCCCF
        ClCC(Cl)CCl ClCCCCl FCCCF FC(F)(F)C(F)(F)C(F)(F)F FC(F)(F)CC(F)(F)F C=CF C=CCl FC(F)=C FC(F)=C(F)F
        FC(F)=C(F)Cl ClC(Cl)=C ClC=C(Cl)Cl ClC(Cl)=C(Cl)Cl F/C=C/F F/C=C\\F Cl/C=C/Cl Cl/C=C\\Cl C=CCF C=CCCl
        C=CC(F)(F)F FC(F)=C(F)C(F)(F)F C#CF C#CCl C#CC(F)(F)F FC#CF FC1CCCC1 ClC1CCCCC1 FC1CCCCC1 FC1CC1
        ClC1CC1 FC1(F)C(F)(F)C1(F)F FC1(F)C(F)(F)C(F)(F)C1(F)F ClC1CCCC1 Fc1ccccc1 Clc1ccccc1 Fc1ccccc1F
        Fc1cccc(F)c1 Fc1ccc(F)cc1 Clc1ccccc1Cl Clc1cccc(Cl)c1 Clc1ccc(Cl)cc1 Fc1ccc(Cl)cc1 Fc1cc(F)cc(F)c1
        Fc1c(F)c(F)c(F)c(F)c1F Clc1cc(Cl)cc(Cl)c1 Clc1c(Cl)c(Cl)c(Cl)c(Cl)c1Cl FC(F)(F)c1ccccc1 FCc1ccccc1
        ClCc1ccccc1 FC(F)c1ccccc1 ClC(Cl)(Cl)c1ccccc1 Clc1ccc(cc1)-c1ccc(Cl)cc1 FC(F)(F)C(F)(F)C(F)(F)C(F)(F)F
        C=C(F)C=C C=C(Cl)C=C ClC1C(Cl)C(Cl)C(Cl)C(Cl)C1Cl FC(F)Oc1ccccc1 FC(F)(F)Oc1ccccc1 COC(F)(F)F
        FC(F)OC(F)F FC(F)OC(F)(F)C(F)Cl FC(Cl)C(F)(F)F COCCl COCF
    """,
    "five-membered aromatic heterocycles": """
        c1cc[nH]c1 Cn1cccc1 Cc1ccc[nH]1 Cc1ccc(C)[nH]1 O=Cc1ccc[nH]1 c1ccoc1 Cc1ccco1 Cc1ccc(C)o1 O=Cc1ccco1
        OCc1ccco1 OC(=O)c1ccco1 c1ccsc1 Cc1cccs1 O=Cc1cccs1 OC(=O)c1cccs1 Clc1cccs1 c1cnc[nH]1 Cn1ccnc1
        Cc1ncc[nH]1 Cc1cnc[nH]1 O=Cc1cnc[nH]1 c1cn[nH]c1 Cn1cccn1 Cc1cc(C)n[nH]1 FC(F)(F)c1cc[nH]n1 c1cocn1
        Cc1cnco1 Cc1ncco1 c1cnoc1 Cc1ccon1 Cc1cc(C)on1 c1cscn1 Cc1ncsc1 Cc1nccs1 Nc1nccs1 c1cnsc1 c1cn[nH]n1
        c1c[nH]nn1 Cn1ccnn1 c1nc[nH]n1 Cn1cncn1 Nc1nc[nH]n1 c1nnn[nH]1 Cn1cnnn1 Cc1nnn[nH]1 c1nnco1
        Cc1nnc(C)o1 c1ncon1 Cc1noc(C)n1 c1nonc1 Cc1nonc1C c1nncs1 Cc1nnc(C)s1 Nc1nncs1 c1ncsn1 c1nsnc1 c1csnn1
        c1ccc(cc1)-n1cccc1 c1ccc(-c2ccc[nH]2)[nH]1 c1csc(c1)-c1cccs1 c1coc(c1)-c1ccco1 CC(=O)n1cccc1
        CC(=O)c1ccco1 CC(=O)c1cccs1 Nc1cc[nH]n1 O=c1cc[nH][nH]1 O=c1cc[nH]o1 O=c1[nH]cco1 c1ccc(cc1)-c1cnco1
        c1ccc(cc1)-c1ncc[nH]1 N#Cc1ccc[nH]1 N#Cc1ccco1 Fc1ccco1 Nc1ccn(C)n1 Oc1ccno1
    """,
    "six-membered aromatic heterocycles": """
        c1ccncc1 Cc1ccccn1 Cc1cccnc1 Cc1ccncc1 Nc1ccccn1 Nc1cccnc1 Nc1ccncc1 Oc1cccnc1 Oc1ccccn1 O=c1cc[nH]cc1
        Fc1ccccn1 Clc1ccccn1 Clc1cccnc1 OC(=O)c1cccnc1 OC(=O)c1ccccn1 OC(=O)c1ccncc1 O=Cc1cccnc1 N#Cc1ccncc1
        C=Cc1ccccn1 CN(C)c1ccncc1 CC(=O)c1cccnc1 Cc1cccc(C)n1 FC(F)(F)c1ccccn1 c1cncnc1 Cc1ccncn1 Nc1ccncn1
        Nc1ncccn1 Clc1ncccn1 O=c1cc[nH]cn1 Fc1cncnc1 c1cnccn1 Cc1cnccn1 Nc1cnccn1 NC(=O)c1cnccn1 c1ccnnc1
        Cc1cccnn1 O=c1cccn[nH]1 O=c1cc[nH][nH]c1=O c1ncncn1 Nc1nc(N)nc(N)n1 Clc1nc(Cl)nc(Cl)n1 Oc1nc(O)nc(O)n1
        c1cnncn1 c1cnnnc1 c1nncnn1 Cc1nnc(C)nn1 c1ccc(nc1)-c1ccccn1 c1ccc(cc1)-c1ccccn1 c1ccc(cc1)-c1ccncc1
        O=c1ccscc1 Cc1cc(C)nc(C)c1 COc1ccccn1 Cn1ccccc1=O Cn1ccc(=O)cc1 N#Cc1cccnc1 CSc1ncccn1 S=c1cccc[nH]1
        COc1ccncn1 CN(C)c1ncccn1 OCc1cccnc1 Oc1cnccn1 FC(F)(F)c1ccncn1 Cc1ncncn1
    """,
    "fused aromatic heterocycles": """
        c1ccc2[nH]ccc2c1 Cc1c[nH]c2ccccc12 Cn1ccc2ccccc12 O=Cc1c[nH]c2ccccc12 c1ccc2c[nH]cc2c1 c1ccc2occc2c1
        c1ccc2sccc2c1 c1ccc2[nH]cnc2c1 Cn1cnc2ccccc12 c1ccc2[nH]ncc2c1 c1ccc2ocnc2c1 c1ccc2scnc2c1
        c1ccc2[nH]nnc2c1 c1ccc2oncc2c1 c1ccc2nonc2c1 c1ccc2nsnc2c1 c1ccc2ncccc2c1 c1ccc2cnccc2c1
        c1ccc2ncncc2c1 c1ccc2nccnc2c1 c1ccc2cnncc2c1 c1ccc2nnccc2c1 c1ccc2nnncc2c1 c1cnc2ncccc2c1
        c1ccn2cccc2c1 c1ccn2ccnc2c1 c1ccn2nccc2c1 c1ccn2nnnc2c1 c1ncc2[nH]cnc2n1 c1cnc2[nH]ccc2c1
        c1cnc2[nH]cnc2c1 c1ncc2nccnc2n1 c1ccc2c(c1)[nH]c1ccccc12 c1ccc2c(c1)oc1ccccc12 c1ccc2c(c1)sc1ccccc12
        c1ccc2nc3ccccc3cc2c1 c1ccc2nc3ccccc3nc2c1 c1ccc2c(c1)Nc1ccccc1S2 c1ccc2c(c1)Oc1ccccc1O2 c1cc2sccc2s1
        c1cc2[nH]ccc2[nH]1 Oc1cccc2cccnc12 Cc1ccc2ccccc2n1 O=c1ccc2ccccc2[nH]1 O=c1ccoc2ccccc12
        O=c1cc[nH]c2ccccc12 O=c1[nH]cnc2ccccc12 O=c1[nH]c2ccccc2[nH]c1=O Nc1nc2ccccc2s1 Cc1nc2ccccc2[nH]1
        Cc1nc2ccccc2o1 c1ccc2c(c1)CC=N2 C1Cc2ccccc2CN1 c1ccc2c(c1)C=CCO2 O=C1Nc2ccccc2C1=O N1C=Nc2ccccc2C1
        c1ccn2cncc2c1 c1cn2ccsc2n1 c1cc2cc[nH]c2cn1 c1cnn2ccncc12 c1ccc2c(c1)ncn2-c1ccccc1 c1nc2cncnc2[nH]1
    """,
    "nucleobases and their relatives": """
        Nc1ncnc2[nH]cnc12 Nc1nc2[nH]cnc2c(=O)[nH]1 Nc1cc[nH]c(=O)n1 Cc1c[nH]c(=O)[nH]c1=O O=c1cc[nH]c(=O)[nH]1
        O=c1[nH]cnc2nc[nH]c12 O=c1[nH]c(=O)c2[nH]cnc2[nH]1 O=c1[nH]c(=O)c2[nH]c(=O)[nH]c2[nH]1
        Cn1cnc2c(N)ncnc12 Cn1cnc2c1nc(N)[nH]c2=O Cn1ccc(N)nc1=O Cn1ccc(=O)[nH]c1=O Cn1cc(C)c(=O)[nH]c1=O
        O=c1[nH]cc(F)c(=O)[nH]1 O=c1[nH]cc(Cl)c(=O)[nH]1 Cc1cc(=O)[nH]c(=O)[nH]1 Nc1nc(N)c2[nH]cnc2n1
        S=c1[nH]cnc2nc[nH]c12 Cc1cnc(=O)[nH]c1N O=C1CCNC(=O)N1 CC1CNC(=O)NC1=O O=c1[nH]c(=O)c2nccnc2[nH]1
        Nc1nc2nccnc2c(=O)[nH]1 O=c1cc(C(=O)O)[nH]c(=O)[nH]1 S=c1cc[nH]c(=O)[nH]1 Cn1cnc2cncnc12
        CNc1ncnc2[nH]cnc12 COc1nc(N)nc2[nH]cnc12
    """,
}

FAMILIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {family: tuple(text.split()) for family, text in _SMALL.items()}
    | {family: tuple(members.values()) for family, members in NAMED_FAMILIES.items()}
)
"""Family name -> SMILES, in the order in which they are written; compounds known by name come last."""
