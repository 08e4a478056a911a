import { describe, expect, it } from "vitest";
import { parseRigCommand } from "./arguments.ts";

describe("parseRigCommand()", () => {
  it("leaves everything after the command to the command", () => {
    expect(parseRigCommand(["exec", "--name", "gic2", "ls", "--name", "x"])).toEqual({
      action: "exec",
      name: "gic2",
      command: "ls",
      args: ["--name", "x"],
    });
    expect(parseRigCommand(["exec", "--", "--odd"])).toMatchObject({ command: "--odd", args: [] });
  });

  it("reads what a rig is made of", () => {
    const argv = [
      "up",
      "--gic",
      "2",
      "--cpu",
      "max",
      "--pages",
      "16",
      "--memory",
      "2048",
      "--forward",
      "8080:80",
      "--forward",
      "0:443",
    ];
    expect(parseRigCommand(argv)).toEqual({
      action: "up",
      options: {
        name: "default",
        gic: 2,
        cpu: "max",
        pageKiB: 16,
        memoryMiB: 2048,
        forwards: [
          [8080, 80],
          [0, 443],
        ],
      },
    });
  });

  it.each([
    [["fly"], /nothing that the rig does/],
    [["exec"], /no command/],
    [["up", "--gic", "4"], /no --gic 4 here. Choose 2 or 3/],
    [["up", "--cpu", "z80"], /cortex-a76 or max/],
    [["up", "--pages", "constructor"], /4 or 16/],
    [["up", "--memory", "lots"], /512 or more/],
    [["up", "--forward", "80"], /HOSTPORT:GUESTPORT/],
    [["down", "--now"], /Usage/],
  ])("throws RIG_BAD_ARGUMENT for %j", (argv, message) => {
    expect(() => parseRigCommand(argv)).toThrow(message);
  });
});
