"""What the faces in a picture show, and why: `python examples/embed.py face.jpg`."""

import sys

import cv2

from edge import Pipeline

with Pipeline.load() as pipeline:
    for face in pipeline(cv2.imread(sys.argv[1])).faces:
        print(f"{face.emotion} ({face.confidence:.0%})")
        print(f"  {face.explanation.status.value}: {face.explanation.text or 'no explanation is shown'}")
