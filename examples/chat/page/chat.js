// Two kinds of streams: the questions of this visitor, which are a topic, and for each the run that answers it.
// The browser's EventSource comes back by itself to where it was; after a refresh each begins anew, an answer with its
// newest snapshot. So nothing is kept here, and any tab shows the same.

const ENDS = {
  done: "",
  cancelled: "Stopped.",
  error: "The model has failed.",
  timeout: "The model took too long.",
  interrupted: "The server was shut down.",
  lost: "The server was lost, and with it the rest of this answer.",
};

const page = Object.fromEntries(["log", "empty", "ideas", "ask", "text", "stop", "send", "turn", "connection"]
  .map((id) => [id, document.getElementById(id)]));
const turns = new Map(); // by run
const lost = new Set(); // the streams that are trying to come back
let asked = null; // the question that is on its way, with its id

class Turn {
  constructor({ run, text }) {
    const node = page.turn.content.cloneNode(true);
    this.run = run;
    this.article = node.querySelector("article");
    this.text = node.querySelector(".text");
    this.state = node.querySelector(".state");
    node.querySelector(".question").textContent = text;
    page.log.append(node);
    this.say("running", "");
    this.follow();
  }

  follow() {
    const source = open(`runs/${encodeURIComponent(this.run)}?from=snapshot`);
    const on = (type, take) => source.addEventListener(type, (event) => keepingEnd(() => take(event.data)));
    on("run-start", (data) => this.begin(JSON.parse(data).attempt));
    on("token", (data) => this.text.append(data));
    on("run-snapshot", (data) => { this.text.textContent = data; });
    on("run-end", (data) => this.end(source, JSON.parse(data).status));
    // An answer that is no stream: the run is older than its ttl.
    source.addEventListener("error", () => source.readyState === EventSource.CLOSED && this.end(source, "gone"));
  }

  begin(attempt) {
    this.text.textContent = ""; // what an earlier attempt said holds no longer
    this.say("running", attempt > 1 ? "The server was lost. Another one has begun this answer again." : "");
  }

  end(source, status) {
    close(source);
    this.say(status, ENDS[status] ?? "This answer is not kept any more.");
  }

  say(status, text) {
    this.article.dataset.status = status;
    this.state.textContent = text;
    page.stop.hidden = running() === undefined;
  }
}

// Streams, and whether they are connected.

function open(url) {
  const source = new EventSource(url);
  const show = (isLost) => {
    isLost ? lost.add(source) : lost.delete(source);
    page.connection.textContent = lost.size ? "Connection lost. Trying again …" : "";
  };
  source.addEventListener("open", () => show(false));
  source.addEventListener("error", () => show(source.readyState === EventSource.CONNECTING));
  return source;
}

function close(source) {
  source.close();
  lost.delete(source);
}

const questions = open("questions");
questions.addEventListener("question", (event) => keepingEnd(() => {
  const question = JSON.parse(event.data);
  page.empty.hidden = true;
  if (!turns.has(question.run)) turns.set(question.run, new Turn(question));
}));
questions.addEventListener("stream-gap", () => location.reload());

// What the visitor does.

// Not crypto.randomUUID: without TLS a browser has it on localhost alone, and not where a phone tries the page.
function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function ask(text) {
  if (asked?.text !== text) asked = { id: newId(), text }; // asked again after a failure: the same
  page.send.disabled = true;
  try {
    const answer = await post("questions", asked);
    if (answer.ok) {
      page.ask.reset();
      asked = null;
    }
    page.ask.classList.toggle("failed", !answer.ok);
  } catch {
    page.ask.classList.add("failed"); // the server is away; the text stays
  } finally {
    page.send.disabled = false;
    page.text.focus();
  }
}

const post = (url, body) => fetch(url, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});

const running = () => [...turns.values()].findLast((turn) => turn.article.dataset.status === "running");

page.ask.addEventListener("submit", (event) => {
  event.preventDefault();
  ask(page.text.value.trim());
});
page.text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    page.ask.requestSubmit();
  }
});
page.ideas.addEventListener("click", (event) => event.target.matches("button") && ask(event.target.textContent));
page.stop.addEventListener("click", () => post(`runs/${encodeURIComponent(running().run)}/cancel`));

// Whoever reads the end of the page goes on seeing it.

function keepingEnd(change) {
  const root = document.scrollingElement;
  const atEnd = root.scrollHeight - root.scrollTop - root.clientHeight < 80;
  change();
  if (atEnd) root.scrollTop = root.scrollHeight;
}
