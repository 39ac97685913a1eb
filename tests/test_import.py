import subprocess
import sys


def _fresh(code: str) -> str:
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_edge_brings_nothing_heavy_and_configures_nothing():
    code = (
        "import sys, logging, edge; heavy = {'torch','transformers','onnx','onnxruntime','cv2','tokenizers'} & set(sys.modules);"
        "print(sorted(heavy), logging.getLogger().handlers)"
    )
    assert _fresh(code) == "[] []"


def test_the_whole_runtime_imports_neither_torch_nor_transformers():
    code = (
        "import sys; from edge import Pipeline; import edge.cli, edge.draw, edge.save; Pipeline.load(device='cpu').close();"
        "print(sorted({'torch','transformers','onnx','optimum','scipy'} & set(sys.modules)))"
    )
    assert _fresh(code) == "[]"


def test_a_missing_runtime_is_named_with_its_extra():
    code = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from edge.errors import BackendError\n"
        "from edge.backend import resolve_device\n"
        "try: resolve_device('cpu')\n"
        "except BackendError as error: print(error)"
    )
    assert "erv-edge[cpu]" in _fresh(code)
