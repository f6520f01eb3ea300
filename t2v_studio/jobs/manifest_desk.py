"""Training sets as the interfaces see them: from scored clips to files. `Studio.manifests` is one of these."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2v_studio.errors import ConflictError, InputError, unknown_name
from t2v_studio.jobs.model import Job
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace, new_id

if TYPE_CHECKING:
    from t2v_studio.datasets.manifest import Built, ManifestSpec


class ManifestDesk:
    """Manifests of one workspace. Rows are plain dicts, ready for JSON."""

    def __init__(
        self,
        settings: Settings,
        workspace: Workspace,
        submit: Callable[..., Job] | None = None,
        active: Callable[[], list[Job]] = list,
    ) -> None:
        """submit: queues (kind, lane, spec, title), for what takes long. active: the jobs that have not ended."""
        self.settings = settings
        self.workspace = workspace
        self._submit = submit
        self._active = active
        self._hashes: Callable[[Path], str] | None = None

    @property
    def first_look(self) -> bool:
        """Whether nobody has asked for a preview yet: the first one reads every clip and applies every study's rules."""
        return self._hashes is None

    def preview(self, **spec: Any) -> dict[str, Any]:
        """What `build` would make from the workspace's videos: summary, rows[] and exclusions[]; nothing is written.

        spec: fields of ManifestSpec. Row keys are those of ManifestRow, and poster, record_id and video (paths).
        """
        built = self._built(self._spec(spec), self.workspace.manifests / "preview")
        return self._shown(built)

    def build(
        self,
        *,
        input_root: Path | None = None,
        globs: Sequence[str] = (),
        output_jsonl: Path | None = None,
        **spec: Any,
    ) -> dict[str, Any]:
        """Build a manifest and save it under outputs/manifests; returns `manifest`, with `output` where one was asked for.

        input_root: where videos are looked for, the workspace's own by default. output_jsonl: the rows there as well,
        with a CSV twin, their paths relative to it. Raises StudioError empty_manifest where no clip is left.
        """
        from t2v_studio.datasets import saved
        from t2v_studio.datasets.files import write_manifest
        from t2v_studio.datasets.manifest import require_rows

        parsed = self._spec(spec)
        output = Path(output_jsonl).expanduser().absolute() if output_jsonl is not None else None
        if output is not None and output.suffix.lower() != ".jsonl":
            raise InputError("bad_output", f"output_jsonl: {output.name} does not end in .jsonl.", "Name it so.")
        manifest_id = new_id("set")
        root = Path(input_root).expanduser() if input_root is not None else None
        built = self._built(parsed, self.workspace.manifest(manifest_id), root, globs)
        require_rows(built)
        origin = {"input_root": self.workspace.relative(root or self.workspace.videos), "globs": list(globs)}
        result = saved.save(self.workspace, manifest_id, built, origin)
        if output is not None:
            from t2v_studio.datasets.manifest import moved

            result["output"] = [
                str(path) for path in write_manifest(output, moved(built.rows, built.folder, output.parent))
            ]
        return result

    def manifests(self) -> list[dict[str, Any]]:
        """Saved ones, newest first: see `datasets.saved.manifest_rows`."""
        from t2v_studio.datasets.saved import manifest_rows

        return manifest_rows(self.workspace)

    def manifest(self, manifest_id: str) -> dict[str, Any]:
        """One saved manifest without its rows: see `datasets.saved.load`. Raises NotFoundError."""
        from t2v_studio.datasets.saved import load

        return load(self.workspace, manifest_id)

    def rows(self, manifest_id: str) -> list[dict[str, Any]]:
        """Its rows, with poster and video (paths, "" where there is none)."""
        from t2v_studio.datasets.rows import clip_file, read_manifest

        folder = self.workspace.manifest(self.manifest(manifest_id)["id"])
        return [self._row(row, clip_file(folder, row)) for row in read_manifest(folder)]

    def path(self, name: str) -> Path:
        """The JSONL file of a saved manifest's id, or of a path. Raises NotFoundError."""
        from t2v_studio.datasets.rows import JSONL, manifest_file

        if Path(name).name == name and (self.workspace.manifests / name / JSONL).is_file():
            return self.workspace.manifest(name) / JSONL
        return manifest_file(Path(name).expanduser().absolute())

    def edit_caption(self, manifest_id: str, row_id: str, text: str) -> dict[str, Any]:
        """A caption by hand, in this manifest and in every later one; returns the row."""
        from t2v_studio.datasets.saved import edit_caption

        return edit_caption(self.workspace, manifest_id, row_id, text).model_dump(mode="json")

    def set_caption(self, record_id: str, scene: str, text: str, *, trigger_token: str = "") -> str:
        """A caption by hand for manifests from now on, before one is saved; "" goes back to the plan's. Returns it."""
        from t2v_studio.datasets import captions

        if not text.strip():
            captions.forget_override(self.workspace, record_id, scene)
            return ""
        bare = captions.checked_caption(captions.without_trigger(trigger_token, text))
        captions.store_override(self.workspace, record_id, scene, bare)
        return bare

    def delete(self, manifest_id: str) -> None:
        """Remove a saved manifest; the clips and the captions stay."""
        import shutil

        shutil.rmtree(self.workspace.manifest(self.manifest(manifest_id)["id"]))

    def export(
        self, name: str, layout: str, folder: Path, report: Callable[[int, int], None] = lambda done, of: None
    ) -> dict[str, Any]:
        """Copies of a manifest's clips in a layout (jsonl, videofolder, text). name: an id or a path. See `files.export`."""
        from t2v_studio.datasets.files import export
        from t2v_studio.datasets.rows import read_manifest

        path = self.path(name)
        return export(path, read_manifest(path), layout, Path(folder), report=report)

    def submit_archive(self, manifest_id: str, layout: str) -> Job:
        """Queue the packing of a saved manifest's clips into one ZIP. Result: manifest, layout, archive, clips, bytes.

        Raises NotFoundError, InputError for an unknown layout, ConflictError archive_running.
        """
        from t2v_studio.datasets.files import LAYOUTS

        assert self._submit is not None, "this desk has no queue"
        self.manifest(manifest_id)
        if layout not in LAYOUTS:
            raise unknown_name("layout", layout, list(LAYOUTS))
        busy = self.archive_job(manifest_id)
        if busy is not None:
            raise ConflictError(
                "archive_running", f"This manifest is being packed now ({busy.id}).", "Wait for it or cancel it."
            )
        return self._submit("archive", "files", {"manifest": manifest_id, "layout": layout}, "Clips of a manifest")

    def archive_job(self, manifest_id: str) -> Job | None:
        """The job that packs this manifest now, if there is one."""
        return next(
            (job for job in self._active() if job.kind == "archive" and job.spec["manifest"] == manifest_id), None
        )

    def archive(self, manifest_id: str, layout: str, report: Callable[..., None] = lambda *_: None) -> dict[str, Any]:
        """The clips of a saved manifest in a layout as one ZIP, in the one folder that the page may give files out of."""
        from t2v_studio.datasets.files import zipped

        out = self.workspace.cache / "web" / "export" / new_id("export")
        out.mkdir(parents=True)
        made = self.export(
            manifest_id, layout, out / manifest_id, lambda done, of: report("copying the clips", done, of)
        )
        path = out / f"{manifest_id}-{layout}.zip"
        zipped(Path(made["folder"]), path, lambda done, of: report("packing the clips", done, of))
        return {"manifest": manifest_id, "layout": layout, "archive": str(path)} | {
            "clips": made["clips"],
            "bytes": path.stat().st_size,
        }

    def check(self, name: str) -> dict[str, Any]:
        """Hashes and splits of a manifest (id or path): ok, clips, changed[], leaks, splits, data_hash."""
        from t2v_studio.datasets.rows import check_files, data_hash, read_manifest
        from t2v_studio.datasets.splits import check_leaks, split_table

        path = self.path(name)
        rows = read_manifest(path)
        changed, leaks = check_files(path, rows), check_leaks(rows)
        return {
            "ok": not changed and leaks["ok"],
            "manifest": str(path),
            "clips": len(rows),
            "changed": changed,
            "leaks": leaks,
            "splits": split_table(rows),
            "data_hash": data_hash(rows),
        }

    def topics(self) -> list[str]:
        """Topic tags of all the workspace's videos."""
        from t2v_studio.datasets.clips import find_clips
        from t2v_studio.datasets.manifest import topic_tag

        if not self.workspace.videos.is_dir():
            return []
        return sorted({topic_tag(found.record) for found in find_clips(self.workspace.videos) if found.record})

    def choices(self) -> dict[str, Any]:
        """What the filters offer: criteria (key, label), layouts (key, what for), defaults of the spec."""
        from t2v_studio.datasets.files import LAYOUTS
        from t2v_studio.datasets.manifest import ManifestSpec
        from t2v_studio.studies.rubric import labels

        return {"criteria": labels(), "layouts": dict(LAYOUTS), "defaults": ManifestSpec().model_dump(mode="json")}

    # --- inside ------------------------------------------------------------------------------
    def _spec(self, fields: dict[str, Any]) -> ManifestSpec:
        from t2v_studio.datasets.manifest import parse_spec

        return parse_spec(fields)

    def _built(self, spec: ManifestSpec, folder: Path, root: Path | None = None, globs: Sequence[str] = ()) -> Built:
        from t2v_studio.datasets.captions import overrides
        from t2v_studio.datasets.clips import GLOBS, find_clips
        from t2v_studio.datasets.manifest import build
        from t2v_studio.datasets.ratings import clip_scores, held_families
        from t2v_studio.datasets.rows import Hashes

        self._hashes = self._hashes or Hashes()
        self.workspace.videos.mkdir(parents=True, exist_ok=True)
        return build(
            spec,
            find_clips(root or self.workspace.videos, list(globs) or GLOBS),
            folder,
            scores=clip_scores(self.workspace),
            held=held_families(self.workspace, spec.test_study),
            overrides=overrides(self.workspace),
            sha256=self._hashes,
        )

    def _shown(self, built: Built) -> dict[str, Any]:
        rows = [self._row(row, _plain(built.folder / row.video_path)) for row in built.rows]
        exclusions = [
            one.model_dump(mode="json") | self._pictures(_plain(built.folder / one.video)) for one in built.exclusions
        ]
        return {"summary": built.summary(), "rows": rows, "exclusions": exclusions}

    def _row(self, row: Any, video: Path) -> dict[str, Any]:
        return row.model_dump(mode="json") | {"duration_s": row.duration_s} | self._pictures(video)

    def _pictures(self, video: Path) -> dict[str, str]:
        poster = video.with_name("poster.png")
        return {"poster": str(poster) if poster.is_file() else "", "video": str(video) if video.is_file() else ""}

    # --- footage ----------------------------------------------------------------------------
    def scenarios(self, path: Path | None = None) -> dict[str, dict[str, Any]]:
        """Name to keywords, prompt_templates and min_examples, of a scenarios file; data/scenarios.yaml by default."""
        from t2v_studio.datasets.scenarios import read_scenarios

        return {name: one.model_dump() for name, one in read_scenarios(path).items()}

    def build_scenarios(
        self,
        sources: Sequence[tuple[str, Path]],
        output: Path,
        *,
        annotations: Path | None = None,
        videos: Path | None = None,
        scenarios: Path | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Footage of one or several sets as scenario_metadata.json and a manifest. See `footage.build_metadata` for options.

        sources: (msr-vtt, vatex or panda70m; its folder). annotations, videos: see `sources.read_source`; with one
        source alone.
        """
        from t2v_studio.datasets.footage import build_metadata
        from t2v_studio.datasets.scenarios import read_scenarios
        from t2v_studio.datasets.sources import read_source

        if not sources:
            raise InputError("no_source", "source: there is none.", "Give --source and --root, once for each set.")
        if len(sources) > 1 and (annotations or videos):
            raise InputError(
                "one_source",
                "annotations, videos: they belong to one set.",
                "Build the sets one by one, or lay them out.",
            )
        footage = [
            one
            for name, root in sources
            for one in read_source(name, Path(root), annotations=annotations, videos=videos)
        ]
        return build_metadata(footage, read_scenarios(scenarios), Path(output).expanduser().absolute(), **options)

    # --- the whole project ------------------------------------------------------------------
    def summary(self) -> dict[str, Any]:
        """What the project holds and what was measured: see `datasets.summary.project_summary`."""
        from t2v_studio.datasets.summary import project_summary

        return project_summary(self.settings, self.workspace)

    def write_summary(self, found: dict[str, Any], output: Path) -> Path:
        """A summary as a file. Raises InputError."""
        from t2v_studio.datasets.summary import write_summary

        return write_summary(found, Path(output))


def _plain(path: Path) -> Path:
    """A path without "..", whose parts are known to be no links."""
    return Path(os.path.normpath(path))
