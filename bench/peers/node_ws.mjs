// A rewriting proxy by the book: `ws` on both sides of each WebSocket, `http.request` for the rest.
// node node_ws.mjs PORT ORIGIN ACCESS_LOG
import { createWriteStream } from "node:fs";
import http from "node:http";
import { pipeline } from "node:stream";
import { WebSocket, WebSocketServer } from "ws";

const [port, origin, log] = process.argv.slice(2);
const access = createWriteStream(log, { flags: "a" });
const line = (request, status) =>
  access.write(
    `${request.socket.remoteAddress} ${new Date().toISOString()} "${request.method} ${request.url}" ${status}\n`,
  );

const kinds = new Map([
  ["jobStatus", "status"],
  ["agentDialogue", "step"],
  ["stageUpdate", "chat"],
  ["prdReady", "app"],
]);

function rewrite(data) {
  const message = JSON.parse(data);
  const kind = kinds.get(message.kind);
  if (kind !== undefined) message.kind = kind;
  return JSON.stringify(message);
}

const agent = new http.Agent({ keepAlive: true, maxFreeSockets: 256 });
const hopByHop = new Set([
  "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
]);

function forwarded(request) {
  const headers = {};
  for (const [name, value] of Object.entries(request.headers)) {
    if (!hopByHop.has(name) && !name.startsWith("sec-websocket-")) headers[name] = value;
  }
  headers["x-forwarded-for"] = request.socket.remoteAddress;
  headers["x-forwarded-proto"] = "http";
  return headers;
}

const server = http.createServer((request, response) => {
  response.on("close", () => line(request, response.statusCode));
  const onward = http.request(
    {
      agent,
      host: "127.0.0.1",
      port: origin,
      method: request.method,
      path: request.url,
      headers: forwarded(request),
    },
    (answer) => {
      const headers = { ...answer.headers };
      for (const name of hopByHop) delete headers[name];
      response.writeHead(answer.statusCode, headers);
      pipeline(answer, response, () => {});
    },
  );
  onward.on("error", () => {
    if (!response.headersSent) response.writeHead(502);
    response.end();
  });
  request.pipe(onward);
});

const sockets = new WebSocketServer({ noServer: true });
const closeCode = (code) => (code === 1005 || code === 1006 ? undefined : code);

server.on("upgrade", (request, socket, head) => {
  socket.on("close", () => line(request, 101));
  const upstream = new WebSocket(`ws://127.0.0.1:${origin}${request.url}`, {
    perMessageDeflate: false,
    headers: forwarded(request),
  });
  upstream.on("error", () => socket.destroy());
  upstream.on("open", () => {
    sockets.handleUpgrade(request, socket, head, (client) => {
      upstream.on("message", (data, isBinary) =>
        client.send(isBinary ? data : rewrite(data), { binary: isBinary }),
      );
      client.on("message", (data, isBinary) => upstream.send(data, { binary: isBinary }));
      client.on("error", () => upstream.terminate());
      client.on("close", (code, reason) => upstream.close(closeCode(code), reason));
      upstream.on("close", (code, reason) => client.close(closeCode(code), reason));
    });
  });
});
server.listen(Number(port), "127.0.0.1", 4096);
