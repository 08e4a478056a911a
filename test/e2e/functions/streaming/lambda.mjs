export const handler = awslambda.streamifyResponse(async (_event, stream) => {
  stream.write("one ");
  stream.end("two");
});
