"""Pack files: what ships can be run, and what cannot be run says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pack_probe import SMALL, TOPICS, small_pack

from t2v_studio.errors import InputError
from t2v_studio.production.packs import find_pack, pack_files, parse_pack, read_pack, topic_request
from t2v_studio.workspace import SHIPPED

SHIPS = {
    "course_ml": {
        "gradient_descent": 61,
        "backpropagation": 62,
        "a_star_search": 63,
        "attention_qkv": 64,
        "bias_variance": 65,
        "classification_metrics": 66,
    },
    "backprop_pair": {"backpropagation": 52},
    "semantic_comparison": {"backpropagation": 52, "a_star_search": 53, "attention_qkv": 54},
    "semantic_demo": {"gradient_descent": 42, "backpropagation": 43, "bias_variance": 44},
    "few_shot": {"gradient_descent": 71, "backpropagation": 72, "a_star_search": 73, "attention_qkv": 74},
}


def test_no_pack_is_untested(workspace) -> None:
    assert set(pack_files(workspace)) == set(SHIPS)


@pytest.mark.parametrize("name", SHIPS)
def test_what_ships_can_be_run(name: str) -> None:
    pack = read_pack(SHIPPED / "packs" / f"{name}.yaml")
    assert pack.name == name
    assert {topic.slug: topic.seed for topic in pack.topics} == SHIPS[name]
    assert pack.variants == ["no_rag", "rag_semantic"]
    for topic in pack.topics:
        local = topic_request(pack, topic, engine="local")
        assert local.use_rag and not local.show_sources and local.seed == topic.seed
        assert (local.scene_frames, local.frames, local.seconds) == (None, None, None), "people read at their own pace"
        assert local.fps and local.fps >= 24
        diffusion = topic_request(pack, topic, engine="diffusion")
        assert (diffusion.width, diffusion.height) == (832, 480)
        assert diffusion.scene_frames and diffusion.steps and diffusion.guidance


def test_the_course_keeps_the_figures_of_the_documents() -> None:
    pack = read_pack(SHIPPED / "packs" / "course_ml.yaml")
    request = topic_request(pack, pack.topics[0], engine="diffusion")
    assert (request.fps, request.scene_frames, request.steps, request.guidance) == (8, 10, 14, 4.6)


def test_few_shot_puts_examples_into_prompts() -> None:
    pack = read_pack(SHIPPED / "packs" / "few_shot.yaml")
    assert all(topic_request(pack, topic).course_few_shot for topic in pack.topics)


@pytest.mark.parametrize(
    ("fields", "message", "hint"),
    [
        ({"varients": ["no_rag"]}, "varients", "variants"),
        ({"defaults": {"widht": 320}}, "defaults", "width"),
        ({"engines": {"locl": {}}}, "engines", "local"),
        ({"engines": {"local": {"stepps": 3}}}, "engines.local", "steps"),
        ({"topics": [{**TOPICS[0], "guidence": 3}]}, "topics.0", "guidance"),
        ({"topics": [{**TOPICS[0], "template": "gradient_decent"}]}, "template", "gradient_descent"),
        ({"topics": [{**TOPICS[0], "use_rag": True}]}, "use_rag", "variants"),
        ({"topics": [{**TOPICS[0], "width": 3}]}, "topics.0 (descent): width", "or more"),
        ({"topics": [TOPICS[0], TOPICS[0]]}, "stand twice: descent", "Correct"),
        ({"topics": [{**TOPICS[0], "slug": "../up"}]}, "topics.0.slug", "Correct"),
        ({"topics": []}, "topics", "Correct"),
        ({"variants": ["no_rag", "no_rag"]}, "variants", "Correct"),
        ({"name": "Two words"}, "name", "Correct"),
    ],
)
def test_a_bad_pack_names_the_field_and_what_to_do(fields: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_pack({"name": "small", "title": "Small", "topics": TOPICS, **fields}, "small.yaml")
    assert caught.value.message.startswith("small.yaml")
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize("text", ["- a list", "a: [", "", "\x00"])
def test_a_file_that_is_no_pack_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"odd\.yaml"):
        read_pack(path)


def test_packs_are_found_by_name_by_path_and_in_the_workspace(workspace, tmp_path: Path) -> None:
    own = workspace.data / "packs" / "mine.yaml"
    own.parent.mkdir()
    own.write_text("name: mine\ntitle: Mine\ntopics: [{slug: one, topic: entropy, seed: 1}]\n")
    assert find_pack("mine", workspace).title == "Mine"
    assert find_pack(str(own), workspace).title == "Mine"
    assert find_pack("course_ml", workspace).name == "course_ml"
    with pytest.raises(InputError) as caught:
        find_pack("curse_ml", workspace)
    assert "course_ml" in caught.value.hint
    with pytest.raises(InputError, match="cannot be read"):
        find_pack(str(tmp_path / "nothing.yaml"), workspace)


def test_the_nearer_setting_wins() -> None:
    pack = small_pack(
        defaults={**SMALL, "seconds": 30, "scene_frames": None} | {"theme": "dark"},
        engines={"local": {"fps": 12}},
        topics=[{**TOPICS[0], "frames": 40}, TOPICS[1]],
    )
    own, plain = (topic_request(pack, topic) for topic in pack.topics)
    assert (own.frames, own.seconds, own.fps, own.theme) == (40, None, 12, "dark")
    assert plain.frames is None
    given = topic_request(pack, pack.topics[0], overrides={"scene_frames": 8}, seed_offset=100, strict=True)
    assert (given.scene_frames, given.frames, given.seed) == (8, None, 105)
    assert not given.fallback_local_on_fail and own.fallback_local_on_fail


def test_a_seed_offset_beyond_the_seeds_is_refused() -> None:
    pack = small_pack()
    for offset in (-6, 2**31):
        with pytest.raises(InputError, match="seed_offset"):
            topic_request(pack, pack.topics[0], seed_offset=offset)
