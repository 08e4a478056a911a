/** Debian's Python, of the release that guests have: byte code and tests are made with it. */
export const pythonProgram = "/usr/bin/python3.11";
