from benchmarks.speed import soak


def test_the_soak_measures_a_stream_and_leaves_nothing_behind(pipeline, monkeypatch):
    monkeypatch.setattr(soak, "TURN_S", 3.0)
    figures = soak.measure(pipeline, 0.1, warmup_s=1.0, calibrate_s=0.5)
    assert figures["minutes"] > 0.05
    assert figures["readings"] > 10
    assert figures["tracks"] >= 2, "a busy machine may lose one for a moment"
    assert figures["explanations"] > 0
    assert (figures["threads_left"], figures["captures_left"]) == (0, 0)
    assert figures["handles_growth"] <= 0
    assert figures["fast_path_alone_ms"]["median"] > 0
    assert figures["fast_path_explaining_ms"]["median"] > 0
    assert figures["frame_age_handed_over_ms"]["median"] < figures["frame_age_delivered_ms"]["median"]
