const later = (work) => setTimeout(work, 300);

export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    switch (pathname) {
      case "/thousand":
        return new Response("x".repeat(1000), { headers: { "content-type": "text/plain" } });
      case "/exit":
        return process.exit(3);
      case "/zero":
        return process.exit(0);
      case "/kill":
        return process.kill(process.pid, "SIGKILL");
      case "/abort":
        return process.abort();
      case "/throw-after":
        later(() => {
          throw new Error("thrown after the answer");
        });
        return new Response("answered");
      case "/exit-after":
        later(() => process.exit(0));
        return new Response("answered");
      case "/throw-during":
        later(() => {
          throw new Error("thrown while it is awaited");
        });
        return new Promise(() => {});
      case "/method": {
        const body = await request.text();
        return Response.json({ method: request.method, bytes: body.length });
      }
      default:
        return new Response("ok");
    }
  },
};
