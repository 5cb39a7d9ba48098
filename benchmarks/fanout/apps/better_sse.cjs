// better-sse on Node's own HTTP server: `node better_sse.cjs FD HEARTBEAT`.
const http = require("node:http");
const { createChannel, createSession } = require("better-sse");

const [fd, heartbeat] = process.argv.slice(2).map(Number);
const channel = createChannel();
let newest = "";

async function subscribe(request, response, first) {
  const session = await createSession(request, response, { keepAlive: heartbeat * 1000 });
  if (first) session.push(newest);
  channel.register(session);
}

function publish(request, response) {
  let body = "";
  request.setEncoding("utf8");
  request.on("data", (part) => (body += part));
  request.on("end", () => {
    for (newest of body.split("\n")) channel.broadcast(newest);
    response.writeHead(204).end();
  });
}

function count(request, response) {
  response.setHeader("Content-Type", "application/json");
  response.end(`{"subscribers":${channel.sessionCount}}`);
}

const routes = {
  "/events": (request, response) => subscribe(request, response, false),
  "/first": (request, response) => subscribe(request, response, true),
  "/publish": publish,
  "/count": count,
};

const server = http.createServer((request, response) => routes[request.url](request, response));
server.listen({ fd });
