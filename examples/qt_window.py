"""A Qt window with the live picture and its reading: `python examples/qt_window.py 0` (camera) or `… talk.mp4`.

The pipeline runs on a thread of its own and hands readings over by a signal; the window only draws. Needs the `examples` extra.
"""

import sys

import cv2
import numpy as np
from PySide6.QtCore import QThread, Signal
from PySide6.QtGui import QImage, QPixmap
from PySide6.QtWidgets import QApplication, QLabel, QVBoxLayout, QWidget

from edge import EdgeError, Pipeline, Reading


class Watcher(QThread):
    """Reads the source until it ends or the thread is asked to stop."""

    read = Signal(object, object)  # image_bgr, Reading
    failed = Signal(str)

    def __init__(self, source: int | str) -> None:
        super().__init__()
        self.source = source

    def run(self) -> None:
        """Runs on the thread; the pipeline is made and closed here."""
        try:
            with Pipeline.load() as pipeline:
                for frame, reading in pipeline.watch(self.source, explain=1.0):
                    self.read.emit(frame.image_bgr, reading)
                    if self.isInterruptionRequested():
                        break
        except EdgeError as error:
            self.failed.emit(str(error))


class Window(QWidget):
    """Picture above, words below."""

    def __init__(self, source: int | str) -> None:
        super().__init__()
        self.setWindowTitle("Expression analysis is on")
        self.picture, self.words = QLabel(), QLabel("Starting …")
        self.words.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.addWidget(self.picture)
        layout.addWidget(self.words)
        self.watcher = Watcher(source)
        self.watcher.read.connect(self.show_reading)
        self.watcher.failed.connect(self.words.setText)
        self.watcher.start()

    def show_reading(self, image_bgr: np.ndarray, reading: Reading) -> None:
        """Draw one frame."""
        image = image_bgr.copy()
        for face in reading.faces:
            x1, y1, x2, y2 = map(int, face.detection.box_xyxy)
            cv2.rectangle(image, (x1, y1), (x2, y2), (110, 200, 90), 2)
        height, width = image.shape[:2]
        self.picture.setPixmap(QPixmap.fromImage(QImage(image.data, width, height, 3 * width, QImage.Format.Format_BGR888)))
        lines = []
        for face in reading.faces:
            said = face.explanation.text if face.explanation else ""
            lines.append(f"{face.track}: {face.emotion} ({face.confidence:.0%}) {said}")
        self.words.setText("\n".join(lines) or "No face in view")

    def closeEvent(self, event) -> None:
        """Stop the thread before the window goes."""
        self.watcher.requestInterruption()
        self.watcher.wait()
        super().closeEvent(event)


if __name__ == "__main__":
    app = QApplication(sys.argv[:1])
    window = Window(int(sys.argv[1]) if sys.argv[1].isdigit() else sys.argv[1])
    window.show()
    sys.exit(app.exec())
