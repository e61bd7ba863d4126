"""What a config file of a stranger may not do, and that the deed is not done before the line."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from nas_lightning.console.foreign import PLUGINS_VARIABLE

EXPERIMENT = "# @package _global_\ndefaults:\n  - /experiment/micro\n  - _self_\n"
SHELL = "torch.distributed.elastic.multiprocessing.subprocess_handler.SubprocessHandler"
SECRET = "a-secret-of-the-user"
POPEN = "{_target_: subprocess.Popen, args: [touch, DEED]}"
OPEN = "{_target_: builtins.open, file: DEED, mode: w}"  # which Hydra itself does not refuse
HANDLER = (
    f"{{_target_: {SHELL}, entrypoint: /usr/bin/touch, args: [DEED], env: {{}}, stdout: null, stderr: null, local_rank_id: 0, "
    "numa_options: null}"
)

FOREIGN = {  # files of a --config-dir, or one experiment -> what the line must hold
    "a plugin": ("plugins: [subprocess]\ndata: " + POPEN, ["plugins: 'subprocess'", "command line"]),
    "a plugin by another key": ("plugins: ${own}\nown: [subprocess]", ["plugins: '${own}'", "command line"]),
    "a plugin as text": ("plugins: subprocess", ["plugins: 'subprocess'", "command line"]),
    "a class that runs a command as data": ("data: " + HANDLER, ["data._target_", SHELL, "not allowed as a data set"]),
    "a class that runs a command as callback": ("trainer: {callbacks: [" + HANDLER + "]}", ["trainer.callbacks[0]._target_", SHELL]),
    "a class that runs a command as profiler": ("trainer: {profiler: " + HANDLER + "}", ["trainer.profiler._target_", SHELL]),
    "a callback of Hydra": (
        "hydra: {callbacks: {evil: " + OPEN + "}}",
        ["hydra.callbacks.evil._target_: builtins.open is not allowed"],
    ),
    "a callback of Hydra within another": (
        "hydra: {callbacks: {fine: {_target_: hydra.experimental.callbacks.LogJobReturnCallback, x: [" + OPEN + "]}}}",
        ["hydra.callbacks.fine.x[0]._target_: builtins.open is not allowed"],
    ),
    "a callback of Hydra by another key": (
        "hydra: {callbacks: {evil: '${own}'}}\nown: " + OPEN,
        ["hydra.callbacks.evil._target_: builtins.open is not allowed"],
    ),
    "a launcher": ("hydra: {launcher: {_target_: subprocess.Popen}}", ["hydra.launcher._target_: subprocess.Popen is not allowed"]),
    "a sweeper": (
        "hydra: {mode: MULTIRUN, sweeper: {_target_: subprocess.Popen}}",
        ["hydra.sweeper._target_: subprocess.Popen is not allowed"],
    ),
    "a sweeper's argument": ("hydra: {sweeper: {params: {x: " + POPEN + "}}}", ["hydra.sweeper.params.x._target_: subprocess.Popen"]),
    "a sweep of plugins": ("hydra: {mode: MULTIRUN, sweeper: {params: {plugins: '[subprocess]'}}}", ["plugins: 'subprocess'"]),
    "a sweep of variables": (
        "hydra: {mode: MULTIRUN, sweeper: {params: {+hydra.job.env_set.LD_PRELOAD: x}}}",
        ["hydra"],
    ),
    "a log handler": (
        "hydra: {job_logging: {version: 1, handlers: {x: {class: subprocess.Popen, args: [touch, DEED]}}, root: {handlers: [x]}}}",
        ["hydra.job_logging.handlers.x.class: subprocess.Popen is not allowed"],
    ),
    "a log factory": (
        "hydra: {hydra_logging: {version: 1, formatters: {x: {(): os.system, command: touch DEED}}, root: {}}}",
        ["hydra.hydra_logging.formatters.x.(): os.system is not allowed"],
    ),
    "a log that overwrites a file": (
        "hydra: {job_logging: {version: 1, handlers: {x: {class: logging.FileHandler, filename: DEED}}, root: {handlers: [x]}}}",
        ["hydra.job_logging.handlers.x.filename", "hydra.runtime.output_dir"],
    ),
    "a log that imports a module": (
        "hydra: {job_logging: {version: 1, handlers: {x: {class: logging.StreamHandler, level: 'ext://antigravity.x'}}, root: {}}}",
        ["hydra.job_logging.handlers.x.level: 'ext://antigravity.x'"],
    ),
    "a variable": ("hydra: {job: {env_set: {LD_PRELOAD: /tmp/x.so}}}", ["hydra.job.env_set.LD_PRELOAD: '/tmp/x.so' comes from a file"]),
    "a variable that names plugins": (
        f"hydra: {{job: {{env_set: {{{PLUGINS_VARIABLE}: subprocess}}}}}}\nplugins: [subprocess]",
        ["subprocess"],
    ),
    "a copied variable": ("hydra: {job: {env_copy: [SECRET]}}\nseed: ${hydra:job.env_set.SECRET}", ["hydra.job.env_copy"]),
    "a copied variable that is not there": ("hydra: {job: {env_copy: [NOT_THERE]}}", ["hydra.job.env_copy", "NOT_THERE"]),
    "another folder for Hydra's files": ("hydra: {output_subdir: ../x}", ["hydra.output_subdir: '../x' comes from a file"]),
    "another folder by the mode that Hydra sets": (
        "hydra: {output_subdir: '${hydra.mode}'}",
        ["hydra.output_subdir: ", "comes from a file"],
    ),
    "another folder by an override that Hydra adds": (
        "hydra: {output_subdir: '${oc.select:hydra.overrides.hydra.0,.hydra}'}",
        ["hydra.output_subdir: ", "comes from a file"],
    ),
    "the environment in a key": ("seed: ${oc.env:SECRET}", ["experiment/mine", "seed", "oc.env"]),
    "the environment in a path": ("run_dir: DEED/${oc.env:SECRET}", ["experiment/mine", "run_dir", "oc.env"]),
    "the environment within text": ("population: {file: 'x/${oc.env:SECRET,none}/y'}", ["population.file", "oc.env"]),
    "the environment by a decoded text": ("seed: \"${oc.decode:'\\\\${oc.env:SECRET}'}\"", ["seed", "oc.decode"]),
    "the environment by a created text": ("x: \"${oc.create:'a: 3'}\"", ["x", "oc.create"]),
    "the environment by a name that is put together": ("a: env\nseed: ${oc.${a}:SECRET}", ["seed", "${oc."]),
    "the environment in an unknown class": ("data: {_target_: 'x.${oc.env:SECRET}'}", ["data._target_", "oc.env"]),
    "the environment in a sweep": (
        "hydra: {mode: MULTIRUN, sweeper: {params: {population.file: '\\${oc.env:SECRET}'}}}",
        ["population.file", "oc.env"],
    ),
    "the environment in a sweep, put together": (
        "a: $\nhydra: {mode: MULTIRUN, sweeper: {params: {population.file: '${a}{oc.env:SECRET}'}}}",
        ["population.file", "oc.env"],
    ),
}


@pytest.fixture
def deed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that a stranger's config tries to make."""
    monkeypatch.setenv("SECRET", SECRET)
    monkeypatch.delenv(PLUGINS_VARIABLE, raising=False)
    return tmp_path / "deed"


def write(folder: Path, name: str, text: str, deed: Path) -> None:
    path = folder / "conf" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.replace("DEED", str(deed)))


def assert_refused(code: int, err: str, out: str, holds: list[str], deed: Path) -> None:
    assert code == 2, err
    assert err.startswith("error: "), err
    assert len(err.splitlines()) == 1, err
    assert len(err) < 1500, err
    assert [word for word in holds if word not in err.replace(str(deed), "DEED")] == [], err
    assert SECRET not in err + out
    assert not deed.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", FOREIGN)
def test_an_experiment_of_a_stranger_is_refused_in_one_line(name: str, tmp_path: Path, deed: Path, command: Callable):
    text, holds = FOREIGN[name]
    write(tmp_path, "experiment/mine", EXPERIMENT + text, deed)
    folders = [] if "run_dir" in text else [f"run_dir={tmp_path}/run"]
    arguments = ["--config-dir", f"{tmp_path}/conf", "experiment=mine", "dry_run=true", f"hydra.sweep.dir={tmp_path}/sweep", *folders]
    done = command("train", *arguments)
    assert_refused(done.code, done.err, done.out, holds, deed)
    assert SECRET not in "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())


GROUP = f"evil: {OPEN}"
COMMANDS = {  # a command's arguments, with files -> what the line must hold
    "a choice of a group that puts callbacks below hydra": (
        "train",
        ["--config-dir", "CONF", "experiment=mine", "dry_run=true"],
        {"own/evil": GROUP, "experiment/mine": EXPERIMENT.replace("  - _self_", "  - /own@hydra.callbacks: evil\n  - _self_")},
        ["hydra.callbacks.evil._target_"],
    ),
    "a header that puts callbacks below hydra": (
        "train",
        ["--config-dir", "CONF", "+own=evil", "experiment=micro"],
        {"own/evil": f"# @package hydra.callbacks\n{GROUP}"},
        ["hydra.callbacks.evil._target_"],
    ),
    "callbacks of a group of Hydra's own": (
        "train",
        ["--config-dir", "CONF", "hydra/callbacks=evil", "experiment=micro"],
        {"hydra/callbacks/evil": f"# @package _global_\nhydra: {{callbacks: {{{GROUP}}}}}"},
        ["hydra.callbacks.evil._target_"],
    ),
    "a group that is called plugins": (
        "train",
        ["--config-dir", "CONF", "+plugins=mine", "experiment=micro"],
        {"plugins/mine": "# @package _global_\nplugins: [subprocess]"},
        ["plugins: 'subprocess'"],
    ),
    "a primary config": (
        "train",
        ["--config-dir", "CONF", "--config-name", "evil"],
        {"evil": "defaults: [config, _self_]\nhydra: {callbacks: {" + GROUP + "}}"},
        ["hydra.callbacks.evil._target_"],
    ),
    "a primary config in a folder of its own": (
        "train",
        ["--config-path", "CONF", "-cn", "config"],
        {"config": "plugins: [subprocess]\nhydra: {callbacks: {" + GROUP + "}}"},
        ["plugins: 'subprocess'"],
    ),
    "a primary config that searches a package": (
        "train",
        ["--config-dir", "CONF", "-cn", "evil"],
        {"evil": "defaults: [config, _self_]\nhydra: {searchpath: ['pkg://antigravity']}"},
        ["hydra.searchpath", "pkg://antigravity"],
    ),
    "a primary config that searches the environment": (
        "train",
        ["--config-dir", "CONF", "-cn", "evil"],
        {"evil": "defaults: [config, _self_]\nhydra: {searchpath: ['file://${oc.env:SECRET}']}"},
        ["hydra.searchpath[0]", "oc.env"],
    ),
    "a default that is the environment": (
        "train",
        ["--config-dir", "CONF", "experiment=mine"],
        {"experiment/mine": "# @package _global_\ndefaults: [/experiment/micro, {override /data: '${oc.env:SECRET}'}]"},
        ["experiment/mine", "defaults[1]", "oc.env"],
    ),
    "a launcher's argument": (
        "train",
        ["--config-dir", "CONF", "-m", "hydra/launcher=mine", "experiment=micro", "seed=0,1"],
        {"hydra/launcher/mine": "defaults: [ray]\nray: {remote: {inner: " + POPEN + "}}"},
        ["hydra.launcher.ray.remote.inner._target_: subprocess.Popen"],
    ),
    "commands of a batch script": (
        "train",
        ["--config-dir", "CONF", "-m", "hydra/launcher=mine", "experiment=micro", "seed=0,1"],
        {"hydra/launcher/mine": "defaults: [submitit_slurm]\nsetup: [touch DEED]"},
        ["hydra.launcher.setup[0]: 'touch DEED' comes from a file"],
    ),
    "a line break in a batch script": (
        "train",
        ["--config-dir", "CONF", "-m", "hydra/launcher=mine", "experiment=micro", "seed=0,1"],
        {"hydra/launcher/mine": 'defaults: [submitit_slurm]\nqos: "a\\ntouch DEED"'},
        ["hydra.launcher.qos", "must be one line"],
    ),
    "the address of a cluster": (
        "train",
        ["--config-dir", "CONF", "-m", "hydra/launcher=mine", "experiment=micro", "seed=0,1"],
        {"hydra/launcher/mine": "defaults: [ray]\nray: {init: {address: 'ray://elsewhere:1'}}"},
        ["hydra.launcher.ray.init.address: 'ray://elsewhere:1' comes from a file"],
    ),
    "a folder that the command line searches": (
        "train",
        ["hydra.searchpath=[file://CONF]", "experiment=mine"],
        {"experiment/mine": EXPERIMENT + "plugins: [subprocess]"},
        ["plugins: 'subprocess'"],
    ),
    "a multirun": (
        "train",
        ["-m", "--config-dir", "CONF", "experiment=mine", "seed=0,1", "hydra.sweep.dir=RUN/sweep"],
        {"experiment/mine": EXPERIMENT + "plugins: [subprocess]"},
        ["plugins: 'subprocess'"],
    ),
    "the config that is printed": (
        "train",
        ["--config-dir", "CONF", "experiment=mine", "--cfg", "job", "--resolve"],
        {"experiment/mine": EXPERIMENT + "initial_checkpoint: ${oc.env:SECRET}"},
        ["initial_checkpoint", "oc.env"],
    ),
    "Hydra's own help, by a short name": (
        "train",
        ["--config-dir", "CONF", "experiment=mine", "--hel"],
        {"experiment/mine": EXPERIMENT + "hydra: {help: {header: '${oc.env:SECRET}'}}"},
        ["hydra.help.header", "oc.env"],
    ),
    "nas-rank": (
        "rank",
        ["--config-dir", "CONF", "trainer=mine", "checkpoint=x"],
        {"trainer/mine": "defaults: [cpu, _self_]\ncallbacks: [{_target_: '${oc.env:SECRET}'}]"},
        ["trainer/mine", "callbacks[0]._target_", "oc.env"],
    ),
    "nas-standalone": (
        "standalone",
        ["--config-dir", "CONF", "data=mine", "space=resnet_tiny"],
        {"data/mine": HANDLER},
        ["data._target_", SHELL],
    ),
    "nas-tune": (
        "tune",
        ["--config-dir", "CONF", "-cn", "mine", "run_dir=RUN"],
        {"mine": "defaults: [tune, _self_]\noverrides: [experiment=micro, 'plugins=[subprocess]']\nsearch: {seed: [0, 1]}"},
        ["plugins: 'subprocess'"],
    ),
    "nas-tune with a searched key": (
        "tune",
        ["--config-dir", "CONF", "-cn", "mine", "run_dir=RUN", 'overrides=["experiment=micro"]'],
        {"mine": "defaults: [tune, _self_]\nsearch: {population.file: ['\\${oc.env:SECRET}']}"},
        ["population.file", "oc.env"],
    ),
    "nas-tune with an override": (
        "tune",
        ["--config-dir", "CONF", "-cn", "mine", "run_dir=RUN"],
        {
            "mine": "defaults: [tune, _self_]\nsearch: {seed: [0]}\n"
            "overrides: [experiment=micro, '+hydra.callbacks.x._target_=subprocess.Popen']"
        },
        ["hydra.callbacks.x._target_"],
    ),
    "a pickle of a run": ("train", ["--experimental-rerun", "RUN/x.pickle"], {}, ["--experimental-rerun", "unpickles"]),
    "a pickle of a run by a short name": ("rank", ["--exp=RUN/x.pickle"], {}, ["--experimental-rerun", "unpickles"]),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_way_to_a_config_is_checked(name: str, tmp_path: Path, deed: Path, command: Callable):
    program, arguments, files, holds = COMMANDS[name]
    for path, text in files.items():
        write(tmp_path, path, text, deed)
    folders = {"CONF": str(tmp_path / "conf"), "RUN": str(tmp_path / "run")}
    shown = [argument.replace("CONF", folders["CONF"]).replace("RUN", folders["RUN"]) for argument in arguments]
    done = command(program, *shown)
    assert_refused(done.code, done.err, done.out, holds, deed)


def test_a_run_folder_grants_its_next_run_no_plugins(micro: Path, tmp_path: Path, deed: Path, command: Callable):
    run = tmp_path / "run"
    run.mkdir()
    config = OmegaConf.load(micro / "config.yaml")
    config.plugins, config.run_dir = ["subprocess"], str(run)
    OmegaConf.save(config, run / "config.yaml")
    node = f"++data={{_target_: subprocess.Popen, args: [touch, '{deed}']}}"
    for arguments in ([], ["--config-path", str(run)]):
        done = command("train", *arguments, *([] if arguments else ["experiment=micro"]), node, f"run_dir={run}")
        assert_refused(done.code, done.err, done.out, ["subprocess"], deed)


@pytest.mark.slow
def test_the_workers_of_a_sweep_check_their_jobs_too(tmp_path: Path, deed: Path, command: Callable):
    params = "{plugins: '[subprocess]', seed: '0,1'}"
    write(tmp_path, "experiment/mine", EXPERIMENT + f"hydra: {{mode: MULTIRUN, sweeper: {{params: {params}}}}}", deed)
    arguments = ["--config-dir", f"{tmp_path}/conf", "experiment=mine", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    done = command("train", *arguments, f"hydra.sweep.dir={tmp_path}/sweep")
    assert_refused(done.code, done.err.splitlines(keepends=True)[-1], done.out, ["plugins: 'subprocess'"], deed)
