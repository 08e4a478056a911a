const operations = {
  line: (id) => console.log("WHOLE of", id),
  partial: () => process.stdout.write("PARTIAL without line end"),
  late: (id) => setTimeout(() => console.log("LATE of", id), 500),
  order: () => {
    console.log("ORDER 1");
    console.error("ORDER 2");
    console.log("ORDER 3");
    console.error("ORDER 4");
  },
  // 7 bytes, then two each: a cut at an even number of bytes is inside a character.
  long: () => console.log(`LONG ab${"\u00e9".repeat(20_000)}`),
  format: () => console.log("FORMAT %s is %d%% of %o", "x", 42, { a: [1] }),
};

export const handler = async ({ operation }, { awsRequestId }) => {
  operations[operation](awsRequestId);
  return awsRequestId;
};
