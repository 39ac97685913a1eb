import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.metrics import claim_rates, coherence, expected_calibration_error, recalls, war_uar


def test_war_uar_on_a_table_worked_by_hand():
    truth, answer = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, -1, 2])
    assert recalls(truth, answer, 4).tolist()[:3] == pytest.approx([2 / 3, 1 / 2, 1])
    assert war_uar(truth, answer, 4) == pytest.approx((4 / 6, (2 / 3 + 1 / 2 + 1) / 3))


def test_expected_calibration_error_on_a_table_worked_by_hand():
    confidence, correct = np.array([0.9, 0.9, 0.6, 0.6]), np.array([True, False, True, True])
    assert expected_calibration_error(confidence, correct, bins=10) == pytest.approx((2 * 0.4 + 2 * 0.4) / 4)


def test_coherence_counts_the_unparseable_as_wrong():
    truth, answer, judged = np.array([0, 1, 2, 3]), np.array([0, 1, -1, 0]), np.array([0, 2, 2, 3])
    assert coherence(truth, answer, judged) == {"eea": 0.5, "epc": 0.25, "fcr": 0.25}


@given(st.lists(st.tuples(*[st.integers(-1, 3)] * 2, st.integers(0, 3)), min_size=1, max_size=30))
def test_fcr_exceeds_neither_eea_nor_epc(rows):
    answer, judged, truth = (np.array(column) for column in zip(*rows, strict=True))
    values = coherence(truth, answer, judged)
    assert values["fcr"] <= min(values["eea"], values["epc"])


def test_claim_rates_without_claims_are_unknown():
    assert claim_rates(0, 0, 0) == {"cue_precision": None, "contradiction_rate": None}
    assert claim_rates(3, 1, 4) == {"cue_precision": 0.75, "contradiction_rate": 0.25}
