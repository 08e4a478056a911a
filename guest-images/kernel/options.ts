/**
 * The options of a kernel configuration fragment that did not take effect, as written in the fragment. The kernel's own
 * tools drop an option silently when something that it depends on is missing.
 */
export function ignoredOptions(fragment: string, config: string): string[] {
  const effective = new Map<string, string>();
  for (const [, name, value] of config.matchAll(/^(CONFIG_\w+)=(.*)$/gm))
    effective.set(name ?? "", value ?? "");
  const wanted = [...fragment.matchAll(/^(CONFIG_\w+)=(.*)$/gm)];
  return wanted
    .filter(([, name, value]) => (effective.get(name ?? "") ?? "n") !== value)
    .map(([line]) => line);
}
