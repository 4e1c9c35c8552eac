/**
 * How many lines of a request have a header field. Of several Node keeps the first, and a proxy before us may have read
 * another.
 *
 * @param rawHeaders names and values in turn, as Node has them
 * @param name of the field, in lower case
 */
export function headerLines(rawHeaders: readonly string[], name: string): number {
  let lines = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const one = rawHeaders[i]
    // Most names are of another length, which costs nothing to see.
    if (one?.length === name.length && one.toLowerCase() === name) lines++
  }
  return lines
}
