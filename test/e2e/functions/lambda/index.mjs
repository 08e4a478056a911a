const variables = [
  ...["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME"],
  ...["AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_LOG_GROUP_NAME"],
  ...["AWS_LAMBDA_LOG_STREAM_NAME", "AWS_LAMBDA_INITIALIZATION_TYPE", "LAMBDA_TASK_ROOT"],
  ...["LAMBDA_RUNTIME_DIR", "_HANDLER", "LANG", "TZ", "PATH"],
];
const ofContext = [
  ...["functionName", "functionVersion", "invokedFunctionArn", "memoryLimitInMB", "awsRequestId"],
  ...["logGroupName", "logStreamName", "getRemainingTimeInMillis"],
];
const ofUrlEvent = [
  ...["version", "routeKey", "rawPath", "rawQueryString", "headers.host", "isBase64Encoded"],
  ...[
    "accountId",
    "apiId",
    "domainName",
    "domainPrefix",
    "requestId",
    "routeKey",
    "stage",
    "time",
    "timeEpoch",
  ].map((name) => `requestContext.${name}`),
  ...["method", "path", "protocol", "sourceIp", "userAgent"].map((name) => `requestContext.http.${name}`),
];
const missingOf = (object, names) =>
  names.filter((name) => name.split(".").reduce((at, key) => at?.[key], object) === undefined);

export const handler = async (event, context) => {
  console.log("a line for the tail");
  return {
    missing: {
      variables: missingOf(process.env, variables),
      context: missingOf(context, ofContext),
      event: event.version === undefined ? [] : missingOf(event, ofUrlEvent),
    },
    handler: process.env._HANDLER,
    argv: process.argv.slice(2),
    clientContext: context.clientContext ?? null,
  };
};
