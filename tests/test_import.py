import subprocess
import sys

import pytest


def _fresh(code: str) -> str:
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_edge_brings_nothing_heavy_and_configures_nothing():
    code = (
        "import sys, logging, edge; heavy = {'torch','transformers','onnx','onnxruntime','cv2','tokenizers'} & set(sys.modules);"
        "print(sorted(heavy), logging.getLogger().handlers)"
    )
    assert _fresh(code) == "[] []"


def test_all_that_is_public_can_be_imported_from_edge():
    code = "import edge; print(sorted(name for name in edge.__all__ if not hasattr(edge, name)), hasattr(edge, 'Nothing'))"
    assert _fresh(code) == "[] False"


def test_the_whole_runtime_imports_neither_torch_nor_transformers():
    code = (
        "import sys; from edge import Pipeline; import edge.cli, edge.outputs.draw, edge.outputs.save; Pipeline.load(device='cpu').close();"
        "print(sorted({'torch','transformers','onnx','optimum','scipy'} & set(sys.modules)))"
    )
    assert _fresh(code) == "[]"


@pytest.mark.parametrize("module", ["onnxruntime", "cv2"])
def test_a_missing_extra_is_named_and_exits_with_3(module):
    code = f"import sys; sys.modules['{module}'] = None; from edge.cli import main; sys.exit(main(['--camera', '0']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "erv-edge[cpu]" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("module", ["export.strategies", "benchmarks.speed.clock"])
def test_telemetry_is_off_before_a_tool_can_import_onnx_runtime(module):
    code = f"import os, sys, {module}; print('onnxruntime' in sys.modules, os.environ.get('ORT_DISABLE_TELEMETRY'))"
    assert _fresh(code) == "False 1"
