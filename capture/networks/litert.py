"""LiteRT models as functions of arrays, and cutting a model's graph into pieces."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from flatbuffers import flexbuffers

from avatar.errors import HeadsplatError


class Network:
    """A model on one thread: call it with its inputs [1,...] float32, get its outputs in the model's order.

    Not safe to call from two threads at once; make one per thread.
    """

    def __init__(self, model: bytes, threads: int = 1) -> None:
        with _native_log_silenced():
            self._interpreter = Interpreter(model_content=model, num_threads=threads)
            self._interpreter.allocate_tensors()
        inputs = self._interpreter.get_input_details()
        self._inputs = [detail["index"] for detail in inputs]
        self._outputs = [detail["index"] for detail in self._interpreter.get_output_details()]
        #: Shapes the inputs must have.
        self.input_shapes = [tuple(int(size) for size in detail["shape"]) for detail in inputs]

    def __call__(self, *inputs: np.ndarray) -> list[np.ndarray]:
        """Outputs (copies) for float32 inputs of `input_shapes`."""
        for index, value in zip(self._inputs, inputs, strict=True):
            self._interpreter.set_tensor(index, value)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


@contextlib.contextmanager
def _native_log_silenced() -> Iterator[None]:
    """Suppress LiteRT's log line about its delegate on the terminal: it has no setting for that.

    Failures still raise; the file descriptor is restored before anything else runs.
    """
    try:
        saved = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
    except OSError:  # no standard error to keep clean
        yield
        return
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def load_network(path: Path) -> Network:
    """The model of a .tflite file; raises HeadsplatError when it cannot be run."""
    try:
        return Network(path.read_bytes())
    except (OSError, ValueError, RuntimeError) as error:
        raise HeadsplatError(
            f"{path}: not a model LiteRT can run ({error}); delete it to have it fetched again"
        ) from error


class Graph:
    """A parsed model whose tensors are addressed by name."""

    def __init__(self, path: Path) -> None:
        self._content = path.read_bytes()
        try:
            self._model = self._parse()
        except Exception as error:  # the generated reader raises whatever the bytes make it raise
            raise HeadsplatError(f"{path}: not a LiteRT model ({error}); delete it to have it fetched again") from error
        graph = self._model.subgraphs[0]
        self._index = {tensor.name.decode(): k for k, tensor in enumerate(graph.tensors)}

    def _parse(self) -> Any:
        return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(self._content, 0))

    def custom_options(self, code: str) -> list[dict[str, Any]]:
        """Options of the custom operators called `code`, in graph order."""
        options = []
        for operator in self._model.subgraphs[0].operators:
            custom = self._model.operatorCodes[operator.opcodeIndex].customCode
            if custom is not None and custom.decode() == code:
                options.append(flexbuffers.Loads(bytes(bytearray(operator.customOptions))))
        return options

    def piece(self, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
        """A model of only the operators that lead from the tensors `inputs` to the tensors `outputs`."""
        model = self._parse()  # anew: the piece is made by taking operators out
        graph = model.subgraphs[0]
        given = [self._index[name] for name in inputs]
        wanted = [self._index[name] for name in outputs]
        producer = {int(tensor): k for k, operator in enumerate(graph.operators) for tensor in operator.outputs}
        needed: set[int] = set()
        seen = set(given)
        stack = list(wanted)
        while stack:
            tensor = stack.pop()
            if tensor in seen or tensor not in producer:
                continue
            seen.add(tensor)
            needed.add(producer[tensor])
            stack += [int(source) for source in graph.operators[producer[tensor]].inputs if source >= 0]
        graph.operators = [operator for k, operator in enumerate(graph.operators) if k in needed]
        graph.inputs = np.array(given, np.int32)
        graph.outputs = np.array(wanted, np.int32)
        model.signatureDefs = model.metadata = model.metadataBuffer = None
        builder = flatbuffers.Builder(len(self._content))
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def join(self, sources: Sequence[str], order: np.ndarray, others: Sequence[str]) -> bytes:
        """The whole model with one output in place of several.

        Args:
            sources: tensors [1,1,1,n] whose values the first output is made of.
            order: [N] int, for each value of the first output its place in the values of all `sources`, one after
                another.
            others: tensors that are the further outputs.

        Returns:
            A model with the outputs [1,1,1,N] and `others`, and with the metadata of this one.
        """
        model = self._parse()
        graph = model.subgraphs[0]
        given = [self._index[name] for name in sources]
        total = sum(int(graph.tensors[tensor].shape[-1]) for tensor in given)
        values = _add_tensor(model, "joined_values", (1, 1, 1, total))
        places = _add_tensor(model, "joined_order", (len(order),), np.asarray(order, np.int32))
        output = _add_tensor(model, "joined", (1, 1, 1, len(order)))
        along = schema.ConcatenationOptionsT()
        pick = schema.GatherOptionsT()
        along.axis = pick.axis = 3
        _add_operator(model, "CONCATENATION", given, values, "ConcatenationOptions", along)
        _add_operator(model, "GATHER", [values, places], output, "GatherOptions", pick)
        graph.outputs = np.array([output, *(self._index[name] for name in others)], np.int32)
        builder = flatbuffers.Builder(len(self._content))
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _add_tensor(model: Any, name: str, shape: tuple[int, ...], constant: np.ndarray | None = None) -> int:
    """Add a float32 tensor, or an int32 one with the values `constant`; returns its index."""
    buffer = schema.BufferT()
    tensor = schema.TensorT()
    if constant is not None:
        buffer.data = np.frombuffer(constant.tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor.name = name
    tensor.shape = np.array(shape, np.int32)
    tensor.buffer = len(model.buffers) - 1
    tensor.type = schema.TensorType.FLOAT32 if constant is None else schema.TensorType.INT32
    model.subgraphs[0].tensors.append(tensor)
    return len(model.subgraphs[0].tensors) - 1


def _add_operator(model: Any, code: str, inputs: Sequence[int], output: int, kind: str, options: Any) -> None:
    """Add an operator with options of a kind at the end of the graph."""
    number = getattr(schema.BuiltinOperator, code)
    operator_code = schema.OperatorCodeT()
    operator = schema.OperatorT()
    operator_code.builtinCode = operator_code.deprecatedBuiltinCode = number  # the latter for older readers
    model.operatorCodes.append(operator_code)
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs = np.array(inputs, np.int32)
    operator.outputs = np.array([output], np.int32)
    operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
    operator.builtinOptions = options
    model.subgraphs[0].operators.append(operator)


@lru_cache(maxsize=4)
def graph_of(path: Path) -> Graph:
    """The parsed model of a .tflite file, kept for the next call."""
    return Graph(path)
