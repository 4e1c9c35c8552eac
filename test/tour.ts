// Runs the README's tour as its reader would, against `npm start` on port 3000: every `sh` block in one shell, with
// what follows it compared to what it printed. An ellipsis in the README stands for anything.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

const MARK = '--- end of a block of the tour ---'

const readme = readFileSync('README.md', 'utf8')
const [, section = ''] = /^## A tour\n([\s\S]*?)\n## /m.exec(readme) ?? []
const blocks = [...section.matchAll(/^```(sh)?\n([\s\S]*?)^```$/gm)].map(([, language, text = '']) => ({
  language,
  text
}))
const steps: { script: string; expected: string }[] = []
for (const { language, text } of blocks) {
  const last = steps.at(-1)
  if (language === 'sh') steps.push({ script: text, expected: '' })
  else if (last !== undefined) last.expected = text
}
assert.ok(steps.length >= 5, `the tour has ${steps.length} steps`)

const script = steps.map(({ script }) => `${script}\necho; echo '${MARK}'`).join('\n')
const printed = execFileSync('bash', ['-c', script], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
const outputs = printed.split(`${MARK}\n`)
for (const [index, { script, expected }] of steps.entries()) {
  const pattern = expected
    .trim()
    .replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    .replaceAll('…', '.*?')
  assert.match(
    outputs[index]?.replaceAll('\r', '').trim() ?? '',
    new RegExp(`^${pattern}$`),
    `the README says otherwise of:\n${script}`
  )
}
console.log(`The tour's ${steps.length} steps print what the README says.`)
