#!/usr/bin/env bash
# Labels for the shipped students: frames of GFN2-xTB in runs/labels.
#     recipes/label.sh tests    those of validation and test: 40 min of one core
#     recipes/label.sh last     and the 261,673 of the last stage of tiny: some 3 hours more
#     recipes/label.sh          and the 293,867 of the last stage of original and ultra-tiny: some 4 hours more
# Run it in the root of the repository; what is there already is kept, so it can be stopped and started again.
set -euo pipefail
export OMP_NUM_THREADS=1
L=runs/labels
mkdir -p $L/train $L/last $L/frames

sample() { # LIST OUTPUT OPTIONS...: frames of the molecules of a list, labelled
    [ -e "$2" ] || mlffd sample "$1" -o "$2" "${@:3}"
}

# Students of earlier releases, which sampled what their successors learnt from
student_of() { # COMMIT NAME FILE
    [ -e $L/$3.pt ] || git show $1:core/mlff_distiller/pretrained/$2/$2.pt > $L/$3.pt
}
student_of 84811b9 tiny tiny
student_of b4f95cf original original
student_of a491187 tiny tiny-a491187
student_of cf8f567 tiny tiny-cf8f567
student_of cf8f567 original original-cf8f567

student_sample() { # STUDENT LIST OUTPUT OPTIONS...: the geometries by that student, the labels by the teacher: half of the time
    local frames
    frames=$L/frames/$(basename "$3")
    sample "$2" "$frames" -t "student:$L/$1.pt" "${@:4}"
    [ -e "$3" ] || mlffd label "$frames" -o "$3"
}

OFTEN="--set dynamics.equilibration=50 --set dynamics.spacing=50 --set dynamics.n=2 --set relaxation.n=1 --set rattle.n=1
    --set torsions.n=1 --set bonds.n=1 --set modes.n=0 --set dimers.n=3"
ONCE="--set dynamics.equilibration=50 --set dynamics.n=1 --set relaxation.n=0 --set rattle.n=0 --set torsions.n=1
    --set bonds.n=0 --set modes.n=0"
# Turned torsions of relaxed molecules, whose small forces decide over barriers, and contacts closer than dynamics has
STRAINED="--set dynamics.n=0 --set relaxation.n=0 --set modes.n=0 --set bonds.n=0 --set dimers.n=0 --set torsions.n=3
    --set rattle.n=1 --set rattle.sigma_min=0.05 --set rattle.sigma_max=0.2 --set rattle.max_relax_steps=0
    --set filters.max_force=100"

FEW="--set dynamics.equilibration=50 --set relaxation.n=1 --set rattle.n=0 --set torsions.n=1 --set bonds.n=0 --set modes.n=0"

# Molecules for validation and test: in no list below, not even as stereoisomers.
sample recipes/molecules/valid.smi $L/valid.h5 --set dynamics.equilibration=50 --set dynamics.spacing=25
sample recipes/molecules/test.smi $L/test.h5 --set dynamics.equilibration=50 --set dynamics.spacing=25
sample recipes/molecules/test.smi $L/test-strained.h5 $STRAINED
# Unlike what any list has: relatives of known molecules by random edits (varied_molecules).
sample recipes/molecules/varied-test.smi $L/test-varied.h5 $FEW --set dynamics.spacing=25 --set dynamics.n=2 --set dimers.n=1
# Dimers at 300 K: 1 and 2 ps after they were put together, long enough to turn towards each other. The dynamics is a student's, the labels the teacher's.
sample recipes/molecules/test.smi $L/frames/test-dimers.h5 -t student:$L/original-cf8f567.pt $FEW --set dynamics.n=0 --set torsions.n=0 \
    --set dimers.n=2 --set dimers.distance_min=2 --set dimers.n_dynamics=2 --set dimers.dynamics_steps=667
# The large ones among them, like drugs: frames of 30 to 60 atoms at 300 K.
[ -e $L/test-large.h5 ] || python - $L <<'PYTHON'
import sys

from mlff_distiller.data.schema import read_dataset, write_dataset

test = read_dataset(f"{sys.argv[1]}/test.h5")
is_large = (test.n_atoms >= 30) & (test.n_atoms <= 60) & (test.regime == "md-300K")
write_dataset(f"{sys.argv[1]}/test-large.h5", test.select(is_large.nonzero()[0]))
dimers = read_dataset(f"{sys.argv[1]}/frames/test-dimers.h5")
write_dataset(f"{sys.argv[1]}/frames/test-dimers-300K.h5", dimers.select((dimers.regime == "dimer-300K").nonzero()[0]))
PYTHON
[ -e $L/test-dimers.h5 ] || mlffd label $L/frames/test-dimers-300K.h5 -o $L/test-dimers.h5
[ "${1:-}" != tests ] || exit 0

LAST="--set dynamics.equilibration=50 --set dynamics.n=1 --set relaxation.n=0 --set torsions.n=1 --set bonds.n=0 --set modes.n=0
    --set dimers.n=4 --set rattle.n=1 --set rattle.sigma_min=0.05 --set rattle.sigma_max=0.2 --set rattle.max_relax_steps=0
    --set filters.max_force=100"
python - $L <<'PYTHON'
import random
import sys
from pathlib import Path

molecules = Path("recipes/molecules")


def write_lists(name, lines):
    for k in range(0, len(lines), 600):
        Path(sys.argv[1], f"{name}-{k // 600:02d}.smi").write_text("".join(f"{line}\n" for line in lines[k : k + 600]))


lines = []
for name in ("train", "more", "rest", "fill", "small", "six"):
    lines += (molecules / f"{name}.smi").read_text().split()
lines = list(dict.fromkeys(lines))
random.Random(11).shuffle(lines)
write_lists("last", lines)
write_lists("varied", (molecules / "varied.smi").read_text().split())
PYTHON
clusters() { # MODEL SEED NAME FOLDER: water, cut from the liquid
    [ -e $L/$3.xyz ] || python examples/10_liquid_clusters.py --model $1 --seed $2 --output $L/$3.xyz
    [ -e $L/$4/water.h5 ] || mlffd label $L/$3.xyz -o $L/$4/water.h5
}
for list in $L/last-[0-9]*.smi; do
    name=$(basename $list .smi)
    student_sample tiny-a491187 $list $L/last/$name.h5 --seed $((100 + 10#${name##*-})) $LAST
done
for list in $L/last-[0-9]*.smi; do # turned torsions of relaxed geometries again: small forces
    name=turned-$(basename $list .smi | cut -d- -f2)
    student_sample original-cf8f567 $list $L/last/$name.h5 --seed $((300 + 10#${name##*-})) $FEW --set dynamics.n=0 --set torsions.n=3 \
        --set dimers.n=0
done
clusters $L/tiny-a491187.pt 1 last-clusters last
for list in $L/varied-[0-9]*.smi; do
    name=$(basename $list .smi)
    student_sample tiny-cf8f567 $list $L/last/$name.h5 --seed $((200 + 10#${name##*-})) $FEW --set dynamics.spacing=50 --set dynamics.n=2 \
        --set dimers.n=2
done
[ "${1:-}" != last ] || exit 0

# Known kinds of molecules, in an order drawn at random, in lists of 600; those with phosphorus once more; dimers.
cat recipes/molecules/{train,more,rest,fill}.smi > $L/known.smi
python - $L <<'PYTHON'
import random
import sys
from pathlib import Path

folder = Path(sys.argv[1])


def shuffled(seed):
    lines = (folder / "known.smi").read_text().split()
    random.Random(seed).shuffle(lines)
    return lines


def write(name, lines):
    (folder / f"{name}.smi").write_text("".join(f"{line}\n" for line in lines))


def write_lists(name, lines):
    for k in range(0, len(lines), 600):
        write(f"{name}-{k // 600:02d}", lines[k : k + 600])


known = shuffled(8)
write("known-a", known[:2400])
write("known-b", known[2400:4800])
known = known[4800:] + known[:4800]
write_lists("known", known)
write("phosphorus", [line for line in known if "p" in line.lower()])
write_lists("dimers", shuffled(10)[:2400])
write_lists("six", Path("recipes/molecules/six.smi").read_text().split())
PYTHON

sample recipes/molecules/small.smi $L/train/small.h5 --seed 7 --set dynamics.n=2 --set dynamics.equilibration=30 --set dynamics.spacing=20 \
    --set relaxation.n=1 --set rattle.n=2 --set torsions.n=1 --set bonds.n=1 --set modes.n=0 --set dimers.n=2
student_sample tiny $L/known-a.smi $L/train/known-a.h5 --seed 8 $ONCE --set dimers.n=2
student_sample tiny $L/known-b.smi $L/train/known-b.h5 --seed 9 $ONCE --set dimers.n=2
for list in $L/known-[0-9]*.smi $L/six-*.smi; do
    name=$(basename $list .smi)
    seed=$((10#${name##*-}))
    [ $name != known-09 ] || seed=29 # 9 would draw some frames of known-b again
    student_sample tiny $list $L/train/$name.h5 --seed $seed $OFTEN
done
student_sample tiny $L/phosphorus.smi $L/train/phosphorus.h5 --seed 0 $OFTEN
for list in $L/dimers-*.smi; do
    name=$(basename $list .smi)
    student_sample tiny $list $L/train/$name.h5 --seed 4${name##*-0} $ONCE --set dimers.n=8
done
student_sample original recipes/molecules/small.smi $L/train/strained-small.h5 --seed 60 $STRAINED
for list in $L/known-[0-9]*.smi $L/six-*.smi; do
    name=$(basename $list .smi)
    student_sample original $list $L/train/strained-$name.h5 --seed $((60 + 10#${name##*-})) $STRAINED
done

clusters ultra-tiny 0 clusters train
