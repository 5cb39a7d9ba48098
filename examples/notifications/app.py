"""Notifications for each user: who may read what, a page that misses nothing, and an end of it all at the logout."""

import secrets
from html import escape

from fastapi import FastAPI, HTTPException
from fastapi.requests import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from unbroken import Hub
from unbroken.hub import Grant

sessions: dict[str, str] = {}
inboxes: dict[str, list[str]] = {}


def user_of(request: Request) -> str | None:
    return sessions.get(request.cookies.get("session", ""))


def may_read(request: Request, topic: str):
    user = user_of(request)
    return user is not None and topic in (f"user:{user}", "everybody") and Grant(user=user)


hub = Hub("memory://", authorize=may_read)
app = FastAPI(lifespan=hub.lifespan)


@app.get("/notifications")
async def notifications(request: Request):
    return hub.response(request, f"user:{user_of(request)}", "everybody", retry=1000)


@app.post("/notify/{user}")
async def notify(user: str, text: str):
    if user not in inboxes:
        raise HTTPException(404)
    inboxes[user].append(text)
    await hub.publish(f"user:{user}", text, event="notification")


@app.post("/announce")
async def announce(text: str):
    await hub.publish("everybody", text, event="notification")


@app.post("/login/{user}")
async def login(user: str):  # examples have no passwords
    inboxes.setdefault(user, [])
    sessions[token := secrets.token_urlsafe()] = user
    response = RedirectResponse("/", 303)
    response.set_cookie("session", token, httponly=True, samesite="lax")
    return response


@app.post("/logout")
async def logout(request: Request):
    user = sessions.pop(request.cookies.get("session", ""), None)
    if user is not None:
        await hub.revoke(user=user)  # now, in all tabs; other sessions of theirs come back and are let in
    response: Response = RedirectResponse("/", 303)
    response.delete_cookie("session")
    return response


@app.get("/", response_class=HTMLResponse)
async def page(request: Request):
    user = user_of(request)
    if user is None:
        return """
        <form method="post" action="/login/ann"><button>Log in as Ann</button></form>
        <form method="post" action="/login/bob"><button>Log in as Bob</button></form>
        """
    # The cursor first, then what is shown: what happens in between comes twice, and not never.
    cursor = await hub.position(f"user:{user}", "everybody")
    items = "".join(f"<li>{escape(text)}</li>" for text in inboxes[user])
    return f"""
    <form method="post" action="/logout">{escape(user)} <button>Log out</button></form>
    <output id="state"></output>
    <ul id="inbox">{items}</ul>
    <script>
      const source = new EventSource("/notifications?last_event_id={cursor}");
      source.addEventListener("notification", e => {{
        inbox.append(Object.assign(document.createElement("li"), {{ textContent: e.data }}));
      }});
      source.addEventListener("stream-gap", () => location.reload());
      source.addEventListener("open", () => state.value = "live");
      source.addEventListener("error", () => {{
        state.value = source.readyState === EventSource.CLOSED ? "you are logged out" : "reconnecting";
      }});
    </script>
    """
