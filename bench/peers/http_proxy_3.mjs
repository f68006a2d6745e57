// http-proxy-3 by its documentation: HTTP and WebSocket, over a keep-alive agent.
// node http_proxy_3.mjs PORT ORIGIN ACCESS_LOG
import { createWriteStream } from "node:fs";
import http from "node:http";
import { createProxyServer } from "http-proxy-3";

const [port, origin, log] = process.argv.slice(2);
const access = createWriteStream(log, { flags: "a" });
const line = (request, status) =>
  access.write(
    `${request.socket.remoteAddress} ${new Date().toISOString()} "${request.method} ${request.url}" ${status}\n`,
  );

const proxy = createProxyServer({
  target: `http://127.0.0.1:${origin}`,
  agent: new http.Agent({ keepAlive: true, maxFreeSockets: 256 }),
  xfwd: true,
});
proxy.on("error", (error, request, response) => {
  if (typeof response?.writeHead === "function" && !response.headersSent) response.writeHead(502);
  response?.end?.();
});

const server = http.createServer((request, response) => {
  response.on("close", () => line(request, response.statusCode));
  proxy.web(request, response);
});
server.on("upgrade", (request, socket, head) => {
  socket.on("close", () => line(request, 101));
  proxy.ws(request, socket, head);
});
server.listen(Number(port), "127.0.0.1", 4096);
