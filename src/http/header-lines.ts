/**
 * Counts the lines of a request that have a header field. When there are several, Node keeps the first, but a proxy may
 * have read another.
 *
 * @param rawHeaders names and values in turn, as Node provides them
 * @param name the name of the field, in lower case
 */
export function headerLines(rawHeaders: readonly string[], name: string): number {
  let lines = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const rawName = rawHeaders[i]
    // Comparing the lengths is cheap, and most names differ in length.
    if (rawName?.length === name.length && rawName.toLowerCase() === name) lines++
  }
  return lines
}
