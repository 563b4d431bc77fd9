"""All recipes for one molecule, in the mix that the settings ask for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from mlff_distiller.data.sampling.clusters import cluster_frames
from mlff_distiller.data.sampling.config import ConformerConfig, ContactConfig, SamplingConfig
from mlff_distiller.data.sampling.conformers import embed, relaxation_frames, relaxation_path
from mlff_distiller.data.sampling.distortions import scaled_bonds, turned_torsions
from mlff_distiller.data.sampling.draws import any_of
from mlff_distiller.data.sampling.dynamics import heated_dynamics
from mlff_distiller.data.sampling.filters import intact, kept
from mlff_distiller.data.sampling.modes import thermal_displacements
from mlff_distiller.data.sampling.periodic import strained_cells
from mlff_distiller.data.sampling.rattle import rattle_tree
from mlff_distiller.data.sampling.topology import Topology
from mlff_distiller.data.teachers import Teacher

PARTNER_RATTLE = 0.03  # Å; partners come from a force field's minimum, where no molecule is


@dataclass(frozen=True)
class Sampler:
    """The teacher and the settings for one molecule, and where its failures are counted."""

    teacher: Teacher
    config: SamplingConfig
    rng: np.random.Generator
    failures: Counter[str]

    def molecule_frames(self, start: Atoms, topology: Topology, name: str) -> Iterator[Atoms]:
        """Frames of the molecule alone, from one start geometry."""
        config, teacher, rng = self.config, self.teacher, self.rng
        path = relaxation_path(start, teacher, config.relaxation)
        relaxed = path[-1]
        yield from self._named(relaxation_frames(path, teacher, config.relaxation.n), name)
        starts = [relaxed]  # of torsions and bonds: a student seldom meets strain without thermal motion
        for frame in self._named(self._trajectory(relaxed, topology), name):
            starts.append(frame)
            yield frame
        yield from self._named(rattle_tree(relaxed, teacher, rng, config.rattle), name)
        yield from self._named(turned_torsions(starts, topology, teacher, rng, config.torsions), name)
        yield from self._named(scaled_bonds(starts, topology, teacher, rng, config.bonds), name)
        yield from self._named(thermal_displacements(relaxed, teacher, rng, config.modes), name)

    def _trajectory(self, relaxed: Atoms, topology: Topology) -> Iterator[Atoms]:
        trajectory = heated_dynamics(relaxed, self.teacher, self.rng, self.config.dynamics)
        return intact(trajectory, topology.bonds, relaxed, self.config.filters.max_stretch, self.failures)

    def cluster_frames(
        self, geometries: Sequence[Atoms], name: str, partner_names: Sequence[str], settings: ContactConfig
    ) -> Iterator[Atoms]:
        """Frames of one cluster: a random geometry of the molecule, and its partners."""
        frames = self._cluster(geometries, partner_names, settings)
        yield from self._named(frames, ".".join([name, *partner_names]))

    def periodic_frames(self, start: Atoms, name: str) -> Iterator[Atoms]:
        """Frames of a periodic structure, rattled and strained."""
        yield from self._named(strained_cells(start, self.teacher, self.rng, self.config.periodic), name)

    def _cluster(
        self, geometries: Sequence[Atoms], partner_names: Sequence[str], settings: ContactConfig
    ) -> Iterator[Atoms]:
        molecules = [any_of(geometries, self.rng), *(self._partner(partner) for partner in partner_names)]
        yield from cluster_frames(molecules, self.teacher, self.rng, settings)

    def _partner(self, smiles: str) -> Atoms:
        partner = embed(smiles, self.rng, ConformerConfig())[0]
        partner.positions += self.rng.normal(0, PARTNER_RATTLE, size=(len(partner), 3))
        return partner

    def _named(self, frames: Iterable[Atoms], name: str) -> Iterator[Atoms]:
        """The frames that pass the filters, with the name of their molecule."""
        for frame in kept(frames, self.config.filters, self.failures):
            frame.info["molecule_id"] = name
            yield frame


def is_thermal(frame: Atoms) -> bool:
    """Whether the frame is a geometry that the free molecule takes: relaxed or from dynamics."""
    return frame.info["regime"].startswith(("conformer", "md-"))
