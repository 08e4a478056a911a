/** Who uses whom: names, and the names that each uses. */
export type Graph = ReadonlyMap<string, ReadonlySet<string>>;

/** The groups of names that use each other in a circle, each sorted; Tarjan's strongly connected components of more than one. */
export function findCircles(graph: Graph): string[][] {
  const circles: string[][] = [];
  const numbers = new Map<string, number>();
  const lowest = new Map<string, number>();
  const stack: string[] = [];
  const visit = (name: string) => {
    const number = numbers.size;
    numbers.set(name, number);
    lowest.set(name, number);
    stack.push(name);
    const reach = (other: number) => lowest.set(name, Math.min(lowest.get(name) ?? other, other));
    for (const used of graph.get(name) ?? []) {
      if (!numbers.has(used)) visit(used);
      if (stack.includes(used)) reach(lowest.get(used) ?? number);
    }
    if (lowest.get(name) !== number) return;
    const group = stack.splice(stack.indexOf(name));
    if (group.length > 1) circles.push(group.sort());
  };
  for (const name of graph.keys()) if (!numbers.has(name)) visit(name);
  return circles.sort();
}

/** Adds an arrow. */
export function connect(graph: Map<string, Set<string>>, from: string, to: string): void {
  const used = graph.get(from) ?? new Set();
  graph.set(from, used);
  if (from !== to) used.add(to);
}
