from benchmarks.speed import soak


def test_the_soak_measures_a_stream_and_leaves_nothing_behind(pipeline, monkeypatch):
    monkeypatch.setattr(soak, "TURN_S", 3.0)
    for minutes in (0.1, 0.5, 1.5):  # a machine with little time to spare is watched for longer
        figures = soak.measure(pipeline, minutes, warmup_s=1.0, calibrate_s=0.5)
        if figures["explanations"] > 0 and figures["readings"] > 10:
            break
    assert figures["minutes"] > 0.5 * minutes
    assert figures["readings"] > 10
    assert figures["tracks"] >= 2, "frames that come too late may cost a face its track"
    assert figures["explanations"] > 0
    assert (figures["threads_left"], figures["captures_left"]) == (0, 0)
    assert figures["handles_growth"] <= 0
    assert figures["fast_path_alone_ms"]["median"] > 0
    assert figures["fast_path_explaining_ms"]["median"] > 0
    assert figures["frame_age_handed_over_ms"]["median"] < figures["frame_age_delivered_ms"]["median"]


def test_a_crowd_of_small_faces_is_seen_whole(pipeline):
    show = soak._crowd()
    found = [len(pipeline(show(number), explain=False).faces) for number in range(0, soak._LOOP, 45)]
    assert show(0).shape == (720, 1280, 3)
    assert sum(found) >= soak._CROWD * len(found) - 2, found
