"""A study so small that it ends in seconds."""

from faultcell import presets
from faultcell.config import GanConfig
from faultcell.study import StudyConfig
from strategies import CONFIG, FINETUNE

MODEL = CONFIG.model_copy(update={"finetune": FINETUNE, "gan": GanConfig(widths=(16, 16), hidden=16, critic_updates=1)})
PAPER = presets.paper().model_copy(
    update={
        "net": CONFIG.net.model_copy(
            update={name: getattr(presets.paper().net, name) for name in presets.paper().net.model_fields_set - {"attention"}}
        ),
        "gan": MODEL.gan,
        "finetune": presets.paper().finetune.model_copy(update={"epochs": None, "steps": 6}),
    }
)
TINY = StudyConfig(
    model=MODEL,
    paper=PAPER,
    paper_steps=6,
    splits=2,
    generators=("diffusion", "wgan_gp", "paper"),
    views=("whole",),
    controls=("replay",),
    pretrain_steps=6,
    finetune_steps=6,
    few=4,
    counts=(2,),
    lambdas=(0.0,),
    guidances=(2.0,),
    sampling_steps=(2,),
    repeats=2,
    snapshots=(0.5, 1.0),
    classifiers=("mlp", "cnn", "bilstm", "forest", "threshold"),
    classifier_seeds=1,
    classifier_steps=3,
)
