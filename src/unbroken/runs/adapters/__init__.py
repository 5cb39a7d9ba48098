"""Streams of model libraries as what a run sends: small plain events, the same whoever's model it is.

    from_openai     OpenAI's client, and whatever speaks its Chat Completions or Responses
    from_anthropic  Anthropic's client
    from_langchain  `astream_events` of LangChain and LangGraph
    from_iterable   any asynchronous or synchronous iterable, as it is

None of these libraries is imported here; an adapter looks only at the fields of what it is given.
"""

from unbroken.runs.adapters.anthropic import from_anthropic
from unbroken.runs.adapters.iterable import from_iterable
from unbroken.runs.adapters.langchain import from_langchain
from unbroken.runs.adapters.openai import from_openai
from unbroken.runs.adapters.parts import Part

__all__ = ["Part", "from_anthropic", "from_iterable", "from_langchain", "from_openai"]
