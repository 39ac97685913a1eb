"""A graph with YuNet's inputs and outputs, drawn on the spot."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge.vision.yunet import STRIDES

_POINTS = [-0.4, -0.3, 0.4, -0.3, 0, 0.1, -0.3, 0.5, 0.3, 0.5]  # from the cell's corner, in strides


def drawn_yunet(path, *, outputs=4):
    """A graph with YuNet's inputs and outputs that sees one face, 64 pixels wide, in the first cell of stride 32."""
    nodes, values, given = [], [], []
    for stride in STRIDES:
        given.append(numpy_helper.from_array(np.full((1, 3, stride, stride), 1 / 1e6, np.float32), f"w{stride}"))
        nodes.append(helper.make_node("Conv", ["input", f"w{stride}"], [f"m{stride}"], strides=[stride, stride]))
        for part, channels in list({"cls": 1, "obj": 1, "bbox": 4, "kps": 10}.items())[:outputs]:
            shape, wide = f"s{part}{stride}", f"e{part}{stride}"
            given.append(numpy_helper.from_array(np.array([1, -1, 1]), shape))
            given.append(numpy_helper.from_array(np.zeros((1, 1, channels), np.float32), wide))
            nodes.append(helper.make_node("Reshape", [f"m{stride}", shape], [f"r{part}{stride}"]))
            nodes.append(helper.make_node("Add", [f"r{part}{stride}", wide], [f"a{part}{stride}"]))
            name = f"{part}_{stride}"
            if part in ("cls", "obj") and stride == 32:  # the mean of a bright block is over a million-th of 255: only it is a face
                nodes.append(helper.make_node("Sign", [f"a{part}{stride}"], [name]))
            else:
                zero = f"z{part}{stride}"
                value = {"bbox": np.log(2), "kps": _POINTS}.get(part, 0.0)
                given.append(numpy_helper.from_array(np.array(value, np.float32), zero))
                nodes += [helper.make_node("Sub", [f"a{part}{stride}"] * 2, [f"n{part}{stride}"])]
                nodes += [helper.make_node("Add", [f"n{part}{stride}", zero], [name])]
            values.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, channels]))
    picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "height", "width"])
    model = helper.make_model(helper.make_graph(nodes, "drawn", [picture], values, given), opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return path


def with_teacher(data: Path, folder: Path) -> Path:
    """A folder of packs with such a graph where the finder's teacher is looked for."""
    folder.mkdir()
    for pack in data.iterdir():
        (folder / pack.name).symlink_to(pack)
    drawn_yunet(folder / "yunet_n_dynamic.onnx")
    return folder
