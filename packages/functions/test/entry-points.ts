/** Names of modules as the Node.js runtimes have them. */
export const entryPoints = {
  default: "index",
  extensions: [".js", ".mjs", ".cjs", ".ts", ".mts"],
  packageFile: "package.json",
};
