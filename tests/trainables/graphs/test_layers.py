"""Layers of a graph: which are predictors, and what stands between the others."""

import pytest

pytest.importorskip("onnx", reason="needs the extra onnx")

import onnx

from trainables.graphs.layers import layers_of


def graph(lines: str, weights: str) -> onnx.GraphProto:
    """A graph of `lines`, whose weights (names of scalars) are initializers."""
    given = ", ".join(f"float {name} = {{1}}" for name in weights.split())
    head = '<ir_version: 8, opset_import: ["" : 18]> agraph (float[N] x) => (float[N] y)'
    return onnx.parser.parse_model(f"{head} <{given}> {{ {lines} }}").graph


def test_layers_that_another_follows_are_inner_and_the_last_ones_predictors() -> None:
    found = layers_of(
        graph(
            """
            grey = Mul(x, scale)
            [first] a = Conv(grey, w1)
            [silu] b = Sigmoid(a)
            [gated] c = Mul(a, b)
            [second] d = Conv(c, w2)
            [score] e = Conv(d, w3)
            [box] f = Conv(d, w4)
            g = Sigmoid(e)
            y = Concat<axis = 0>(f, g)
            """,
            "scale w1 w2 w3 w4",
        )
    )
    assert found.inner == ("first", "second")
    assert found.predictors == ("w3", "w4")
    assert found.between == ("silu", "gated")


def test_what_only_says_where_to_look_is_a_prediction() -> None:
    """Proposals choose the regions of a second stage; they are no features of it."""
    found = layers_of(
        graph(
            """
            [body] a = Conv(x, w1)
            [objectness] b = Conv(a, w2)
            [delta] c = Conv(a, w3)
            best, place = TopK(b, n)
            region = GatherElements(c, place)
            [pool] d = RoiAlign(a, region, place)
            sure = Greater(best, n)
            [chosen] e = Where(sure, d, d)
            [head] f = Gemm(e, w4)
            [class] y = Gemm(f, w5)
            """,
            "w1 w2 w3 w4 w5 n",
        )
    )
    assert found.inner == ("body", "head")
    assert found.predictors == ("w2", "w3", "w5")
    assert not found.between


def test_the_mean_of_a_distribution_is_behind_its_predictor() -> None:
    """YOLO's box edges: a convolution whose weights are 0, 1, 2, ... over probabilities."""
    found = layers_of(
        graph(
            """
            [body] a = Conv(x, w1)
            [edges] b = Conv(a, w2)
            c = Softmax(b)
            [mean] y = Conv(c, w3)
            """,
            "w1 w2 w3",
        )
    )
    assert found.inner == ("body",)
    assert found.predictors == ("w2", "w3")


def test_attention_and_products_of_features_are_no_ends() -> None:
    found = layers_of(
        graph(
            """
            [qkv] a = Conv(x, w1)
            q, k, v = Split<axis = 0>(a, sizes)
            b = MatMul(q, k)
            c = Softmax(b)
            d = MatMul(v, c)
            [out] e = Conv(d, w2)
            [score] y = Conv(e, w3)
            """,
            "w1 w2 w3 sizes",
        )
    )
    assert found.inner == ("qkv", "out")
    assert found.predictors == ("w3",)


def test_what_also_takes_floats_stays_in_float() -> None:
    """A norm works in float, and what follows it; a sum of two layers takes integers alone."""
    found = layers_of(
        graph(
            """
            [body] a = Conv(x, w1)
            mean = ReduceMean(a)
            b = Sub(a, mean)
            [weight] c = Mul(b, scale)
            [relu] d = Relu(c)
            [left] e = Conv(d, w2)
            [right] f = Conv(d, w3)
            [sum] g = Add(e, f)
            [score] y = Conv(g, w4)
            """,
            "scale w1 w2 w3 w4",
        )
    )
    assert found.inner == ("body", "left", "right")
    assert found.between == ("sum",)
