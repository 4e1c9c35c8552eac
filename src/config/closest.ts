/** In a name this short, two slips make another word: HOME is not a mistyped HOST. */
const SHORT_LENGTH = 5
const SLIPS_MAX = 2

/** Counts the letters that are wrong, missing, extra or swapped (the optimal string alignment distance). */
function slips(from: string, to: string): number {
  let before: number[] = []
  let above = Array.from({ length: to.length + 1 }, (_, j) => j)
  for (let i = 1; i <= from.length; i++) {
    const row = [i]
    for (let j = 1; j <= to.length; j++) {
      const swapped = from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]
      row[j] = Math.min(
        Number(above[j - 1]) + Number(from[i - 1] !== to[j - 1]),
        Number(above[j]) + 1,
        Number(row[j - 1]) + 1,
        swapped ? Number(before[j - 2]) + 1 : Number.POSITIVE_INFINITY
      )
    }
    before = above
    above = row
  }
  return Number(above[to.length])
}

/** Returns the one of `names` that is closest to `name`, or undefined when none is close. */
export function closest(name: string, names: readonly string[]): string | undefined {
  let found: string | undefined
  let fewest = SLIPS_MAX + 1
  for (const known of names) {
    if (Math.abs(known.length - name.length) > SLIPS_MAX) continue
    const count = slips(name, known)
    if (count >= fewest || (count > 1 && known.length <= SHORT_LENGTH)) continue
    found = known
    fewest = count
  }
  return found
}
