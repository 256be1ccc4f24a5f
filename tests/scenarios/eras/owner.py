"""Who sits at both clients: knows where the notes are, and has a model at hand. The shapes are those of both eras."""

from __future__ import annotations

from transcript import Message

FOLDER = "file:///srv/greenhouse"
SENTENCE = "It is hot and dry, water the tomatoes."


def answer_of(question: Message) -> Message:
    """The result for `roots/list` or `sampling/createMessage`. Raises: KeyError for anything else."""
    if question["method"] == "sampling/createMessage":
        assert FOLDER in question["params"]["messages"][0]["content"]["text"], "the first answer did not arrive"
    answers: dict[str, Message] = {
        "roots/list": {"roots": [{"uri": FOLDER, "name": "Greenhouse"}]},
        "sampling/createMessage": {
            "role": "assistant",
            "content": {"type": "text", "text": SENTENCE},
            "model": "pocket-1b",
            "stopReason": "endTurn",
        },
    }
    return answers[question["method"]]
