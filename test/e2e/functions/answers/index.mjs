const answers = {
  "/moved": { statusCode: 302, headers: { location: "/elsewhere" } },
  "/plain": { statusCode: 200 },
  "/null": { statusCode: 404, body: null },
  "/empty": { statusCode: 200, body: "" },
  "/undefined": { headers: { "x-a": undefined, "x-b": null, "x-n": 5, "x-t": true } },
  "/cookies": { cookies: ["a=1; Path=/", "b=2; Path=/"], headers: { "Set-Cookie": "c=3" } },
  "/timing": { headers: { "server-timing": "db;dur=5" } },
  "/unicode": { headers: { "content-disposition": 'attachment; filename="\u65e5\u672c.txt"' } },
};

export const handler = async ({ rawPath, queryStringParameters }) => {
  if (rawPath === "/status") return { statusCode: queryStringParameters?.is, body: "b" };
  const bare = ["/moved", "/plain", "/null", "/empty"].includes(rawPath);
  return bare ? answers[rawPath] : { statusCode: 200, body: "ok", ...answers[rawPath] };
};
