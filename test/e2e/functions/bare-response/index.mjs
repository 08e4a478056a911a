export default async (request) =>
  new Response(`hi ${request?.method}`, { status: 201, headers: { "x-mine": "1" } });
