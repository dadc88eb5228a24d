"""Loads amlgate's declaration of google.api and Google's own into one process, in the order of the arguments.

Each argument is a folder that holds google/api/*_pb2.py, or "installed" for the copy that Python would import. The files
are run under names of their own, since Python would load a module called google.api.http_pb2 only once; what they add
to the descriptor pool is what an import would add.
"""
import importlib.util
import os
import sys


def load(folder, label):
    for name in "http_pb2.py", "annotations_pb2.py":
        spec = importlib.util.spec_from_file_location(f"{label}_{name[:-3]}", os.path.join(folder, name))
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


for number, folder in enumerate(sys.argv[1:]):
    if folder == "installed":
        load(os.path.dirname(importlib.util.find_spec("google.api.http_pb2").origin), f"copy{number}")
    else:
        load(os.path.join(folder, "google", "api"), f"copy{number}")
print("both loaded")
