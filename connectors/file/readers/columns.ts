/**
 * Names of columns as they can be told apart: trimmed, one without a heading after its place, one that comes again
 * with a number behind it.
 */
export function columnNames(headings: readonly string[]): string[] {
  const seen = new Set<string>();
  return headings.map((heading, i) => {
    const base = heading.trim() === '' ? `column ${i + 1}` : heading.trim();
    let name = base;
    for (let again = 2; seen.has(name); again += 1) name = `${base} (${again})`;
    seen.add(name);
    return name;
  });
}

/** Names of columns of a file without headings. */
export function numberedColumns(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `column ${i + 1}`);
}
