"""How an assignment that takes no time is graded; it is not about images."""

from pathlib import Path

from tools.grading.rubric import Question

NOTEBOOK = Path(__file__).with_suffix(".ipynb")


def draw_two(random):
    return {"a": random.normal(), "b": random.normal()}


def ask_add(names, a, b):
    return {"add(a, b)": names["add"](float(a), float(b))}


def draw_many(random):
    return {"numbers": random.normal(size=5)}


def ask_double(names, numbers):
    return {"double of numbers": [names["double"](number) for number in numbers.tolist()]}


def ask_total(names):
    return {"total": names["total"]}


ADD = Question(1, "Add", "`add(a, b)` is the sum of two numbers.", ask_add, draw_two)
DOUBLE = Question(2, "Double", "`double(x)` is a number twice.", ask_double, draw_many)
TOTAL = Question(3, "Total", "`total` is the sum of the digits.", ask_total)
QUESTIONS = [ADD, DOUBLE, TOTAL]
