// Reads a stream with the AI SDK's own transport, and prints what it made of it.
import { pathToFileURL } from "node:url";

const [modules, url] = process.argv.slice(2);
const { DefaultChatTransport, readUIMessageStream } = await import(pathToFileURL(`${modules}/ai/dist/index.mjs`).href);

const seen = { status: 0, protocol: null, chunks: [], message: null, errors: [] };
const transport = new DefaultChatTransport({
  fetch: async (...request) => {
    const response = await fetch(...request);
    seen.status = response.status;
    seen.protocol = response.headers.get("x-vercel-ai-ui-message-stream");
    return response;
  },
  prepareReconnectToStreamRequest: () => ({ api: url }),
});
const stream = await transport.reconnectToStream({ chatId: "chat" });
if (stream !== null) {
  const kept = new TransformStream({
    transform(chunk, controller) {
      seen.chunks.push(chunk);
      controller.enqueue(chunk);
    },
  });
  const onError = (error) => seen.errors.push(`${error.name}: ${error.message}`);
  for await (const message of readUIMessageStream({ stream: stream.pipeThrough(kept), onError })) seen.message = message;
}
console.log(JSON.stringify(seen));
