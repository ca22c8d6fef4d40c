"""Print which of Keras's names are here, as a Markdown table: what is here as in Keras, what only Keras has, what is only here.

The left and right columns are read from the package itself, the middle one from a list of the names of Keras 3.15. The README has the
same table; `--write README.md` brings it up to date.
"""

from __future__ import annotations

import argparse
import types
from importlib import import_module
from pathlib import Path

from . import CommandError

BEGIN, END = "<!-- support: begin -->\n", "<!-- support: end -->\n"
KERAS_VERSION = "3.15"

# Classes that are here only to say what to write in their place.
MESSAGES = ("Model",)

# (family, module, what its members are)
FAMILIES = (
    ("models", "models", "class function"),
    ("layers", "layers", "class"),
    ("recurrent cells", "layers", "cell"),
    ("activations", "activations", "function"),
    ("initializers", "initializers", "class"),
    ("regularizers", "regularizers", "class"),
    ("constraints", "constraints", "class"),
    ("losses", "losses", "class"),
    ("metrics", "metrics", "class"),
    ("optimizers", "optimizers", "class"),
    ("schedules", "optimizers.schedules", "class"),
    ("callbacks", "callbacks", "class"),
    ("utilities", "utils", "class function"),
    ("random numbers", "random", "class function"),
    ("datasets", "datasets", "module"),
)

# The same families in Keras 3.15; a test compares them with Keras where that is installed.
KERAS = {
    "models": "clone_model load_model Model model_from_json save_model Sequential",
    "layers": (
        "Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D "
        "AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention AugMix AutoContrast "
        "Average AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization Bidirectional CategoryEncoding CenterCrop "
        "Concatenate ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose "
        "ConvLSTM1D ConvLSTM2D ConvLSTM3D Cropping1D Cropping2D Cropping3D CutMix Dense DepthwiseConv1D DepthwiseConv2D Discretization "
        "Dot Dropout EinsumDense ELU Embedding Equalization Flatten FlaxLayer GaussianDropout GaussianNoise GlobalAveragePooling1D "
        "GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization GRU "
        "HashedCrossing Hashing Identity InputLayer InputSpec IntegerLookup JaxLayer Lambda Layer LayerNormalization LeakyReLU LSTM "
        "Masking Maximum MaxNumBoundingBoxes MaxPooling1D MaxPooling2D MaxPooling3D MelSpectrogram Minimum MixUp MultiHeadAttention "
        "Multiply Normalization Permute Pipeline PReLU RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter "
        "RandomContrast RandomCrop RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHue "
        "RandomInvert RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation "
        "RandomZoom ReLU RepeatVector Rescaling Reshape Resizing ReversibleEmbedding RMSNormalization RNN SeparableConv1D SeparableConv2D "
        "SimpleRNN Softmax Solarization SpatialDropout1D SpatialDropout2D SpatialDropout3D SpectralNormalization STFTSpectrogram "
        "StringLookup Subtract TextVectorization TFSMLayer TimeDistributed TorchModuleWrapper UnitNormalization UpSampling1D UpSampling2D "
        "UpSampling3D Wrapper ZeroPadding1D ZeroPadding2D ZeroPadding3D"
    ),
    "recurrent cells": "GRUCell LSTMCell SimpleRNNCell StackedRNNCells",
    "activations": (
        "celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu linear log_sigmoid log_softmax mish relu "
        "relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid sparsemax squareplus tanh tanh_shrink "
        "threshold"
    ),
    "initializers": (
        "Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity Initializer LecunNormal LecunUniform Ones Orthogonal "
        "RandomNormal RandomUniform STFT TruncatedNormal VarianceScaling Zeros"
    ),
    "regularizers": "L1 L1L2 L2 OrthogonalRegularizer Regularizer",
    "constraints": "Constraint MaxNorm MinMaxNorm NonNeg UnitNorm",
    "losses": (
        "BinaryCrossentropy BinaryFocalCrossentropy CategoricalCrossentropy CategoricalFocalCrossentropy "
        "CategoricalGeneralizedCrossEntropy CategoricalHinge Circle CosineSimilarity CTC Dice Hinge Huber KLDivergence LogCosh Loss "
        "MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError Poisson SparseCategoricalCrossentropy "
        "SquaredHinge Tversky"
    ),
    "metrics": (
        "Accuracy AUC BinaryAccuracy BinaryCrossentropy BinaryIoU CategoricalAccuracy CategoricalCrossentropy CategoricalHinge "
        "ConcordanceCorrelation CosineSimilarity F1Score FalseNegatives FalsePositives FBetaScore Hinge IoU KLDivergence LogCoshError "
        "Mean MeanAbsoluteError MeanAbsolutePercentageError MeanIoU MeanMetricWrapper MeanSquaredError MeanSquaredLogarithmicError Metric "
        "OneHotIoU OneHotMeanIoU PearsonCorrelation Poisson Precision PrecisionAtRecall R2Score Recall RecallAtPrecision "
        "RootMeanSquaredError SensitivityAtSpecificity SparseCategoricalAccuracy SparseCategoricalCrossentropy "
        "SparseTopKCategoricalAccuracy SpecificityAtSensitivity SquaredHinge Sum TopKCategoricalAccuracy TrueNegatives TruePositives"
    ),
    "optimizers": (
        "Adadelta Adafactor Adagrad Adam Adamax AdamW Ftrl Lamb Lion LossScaleOptimizer MultiOptimizer Muon Nadam Optimizer OptimizerMap "
        "RMSprop ScheduleFreeAdamW SGD"
    ),
    "schedules": (
        "CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay LearningRateSchedule PiecewiseConstantDecay "
        "PolynomialDecay"
    ),
    "callbacks": (
        "BackupAndRestore Callback CallbackList CSVLogger EarlyStopping History LambdaCallback LearningRateScheduler ModelCheckpoint "
        "OrbaxCheckpoint ProgbarLogger ReduceLROnPlateau RemoteMonitor SwapEMAWeights TensorBoard TerminateOnNaN"
    ),
    "utilities": (
        "array_to_img audio_dataset_from_directory clear_session Config CustomObjectScope deserialize_keras_object "
        "disable_interactive_logging enable_interactive_logging FeatureSpace get_custom_objects get_file get_registered_name "
        "get_registered_object get_source_inputs image_dataset_from_directory img_to_array is_interactive_logging_enabled is_keras_tensor "
        "load_img model_to_dot normalize pack_x_y_sample_weight pad_sequences plot_model Progbar PyDataset register_keras_serializable "
        "save_img serialize_keras_object set_random_seed split_dataset standardize_dtype text_dataset_from_directory "
        "timeseries_dataset_from_array to_categorical unpack_x_y_sample_weight"
    ),
    "random numbers": "beta binomial categorical dropout gamma normal randint SeedGenerator shuffle truncated_normal uniform",
    "datasets": "boston_housing california_housing cifar10 cifar100 fashion_mnist imdb mnist reuters",
}


def members(package: str, module: str, kinds: str) -> list[str]:
    """The public names of a module, once each, of the kinds asked for: class, cell, function, module."""
    loaded = import_module(f"{package}.{module}")
    found = []
    for name in getattr(loaded, "__all__", dir(loaded)):
        value = getattr(loaded, name)
        if name.startswith("_") or name in ("get", "serialize", "deserialize"):
            continue
        if isinstance(value, types.ModuleType):
            kind = "module" if value.__name__.startswith(f"{package}.") else None
        elif isinstance(value, type):
            kind = ("cell" if name.endswith(("Cell", "Cells")) else "class") if value.__name__ == name else None  # no second names
        else:
            kind = "function" if getattr(value, "__name__", None) == name else None
        if kind in kinds.split():
            found.append(name)
    return sorted(set(found), key=lambda name: (name.lower(), name))


def table() -> str:
    """The Markdown table."""
    lines = [f"| | here, as in Keras {KERAS_VERSION} | in Keras {KERAS_VERSION}, not here | only here |", "|---|---|---|---|"]
    for family, module, kinds in FAMILIES:
        here, theirs = [name for name in members("fastrnn", module, kinds) if name not in MESSAGES], KERAS[family].split()
        only_here = [name for name in here if name not in theirs and _is_of(module, name)]
        columns = [name for name in theirs if name in here], [name for name in theirs if name not in here], only_here
        lines.append(f"| {family} | {' | '.join(', '.join(f'`{name}`' for name in column) for column in columns)} |")
    return "\n".join(lines) + "\n"


def _is_of(module: str, name: str) -> bool:
    """Whether a public name is the module's own, not one that it imports for its own use."""
    loaded = import_module(f"fastrnn.{module}")
    value = getattr(loaded, name)
    return name in getattr(loaded, "__all__", ()) or getattr(value, "__module__", value.__name__).startswith(loaded.__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--write", type=Path, metavar="PATH", help="put the table between the markers of this file instead of printing it")


def run(args: argparse.Namespace) -> int:
    if args.write is None:
        print(table(), end="")
        return 0
    text = args.write.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise CommandError(f"{args.write} has no lines {BEGIN.strip()} and {END.strip()} to put the table between")
    args.write.write_text(before + begin + table() + end + after, encoding="utf-8")
    return 0
