"""Neural architecture search: a space, a way through it, and a way to judge what is found there.

Random search, regularised evolution and a REINFORCE controller work on any
`evaluate(architecture) -> objective`, higher is better, be it a table, a supernet or a training.
DARTS makes the choice itself differentiable; once-for-all trains all sub-networks as one.
Papers: Zoph and Le 2017; Real et al. 2019; Liu et al. 2019 (DARTS); Tan et al. 2019 (MnasNet);
Cai et al. 2020 (once-for-all); Yu and Huang 2019 (sandwich rule).
"""

from course_lib.nas.benchmark_space import (
    BENCHMARK_SPACE,
    architecture_name,
    benchmark_images,
    benchmark_network,
)
from course_lib.nas.cell import Cell, cell_operations, mixed_cell
from course_lib.nas.controller import ReinforceResult, reinforce, reinforce_gradient
from course_lib.nas.darts import (
    architecture_parameters,
    darts_step,
    discretize,
    weight_parameters,
)
from course_lib.nas.evolution import regularised_evolution, tournament
from course_lib.nas.mixed_operation import MixedOperation, Zero
from course_lib.nas.reward import mnasnet_reward
from course_lib.nas.search import Evaluated, NasResult, random_search, sample_feasible
from course_lib.nas.space import Architecture, SearchSpace
from course_lib.nas.supernet import Supernet
from course_lib.nas.supernet_training import (
    recalibrate_batch_norm,
    sandwich_loss,
    sandwich_step,
)
from course_lib.nas.tabular import SimulatedTraining, TabularBenchmark, TrainedArchitecture

__all__ = [
    "BENCHMARK_SPACE",
    "Architecture",
    "Cell",
    "Evaluated",
    "MixedOperation",
    "NasResult",
    "ReinforceResult",
    "SearchSpace",
    "SimulatedTraining",
    "Supernet",
    "TabularBenchmark",
    "TrainedArchitecture",
    "Zero",
    "architecture_name",
    "architecture_parameters",
    "benchmark_images",
    "benchmark_network",
    "cell_operations",
    "darts_step",
    "discretize",
    "mixed_cell",
    "mnasnet_reward",
    "random_search",
    "recalibrate_batch_norm",
    "regularised_evolution",
    "reinforce",
    "reinforce_gradient",
    "sample_feasible",
    "sandwich_loss",
    "sandwich_step",
    "tournament",
    "weight_parameters",
]
