import t from 'tap'
import { Rows } from '../../client/rows.ts'
import type { Rules } from '../../client/rules.ts'

const RULES: Rules = { matches: () => true, compare: (a, b) => (String(a.id) < String(b.id) ? -1 : 1), defaults: {} }

t.test('what comes late brings no deleted item back, and no older version (issue 22)', async (t) => {
  let now = 0
  const rows = new Rows<{ id: string; version: number }>(() => ++now)
  const shown = () => rows.show(RULES, []).rows.map(({ id, version }) => `${id}${version}`)
  const asked = now
  rows.tell({ id: 'a', version: 1 }, true)
  rows.tell({ id: 'a', version: 2 }, false)
  rows.answer({ id: 'a', version: 1 }, asked)
  t.same(shown(), ['a2'])
  rows.remove('a')
  // The stream tells what was before the deletion, and an answer was on its way.
  rows.tell({ id: 'a', version: 3 }, false)
  rows.answer({ id: 'a', version: 3 }, asked)
  t.same(shown(), [])
  rows.tell({ id: 'a', version: 1 }, true)
  t.same(shown(), ['a1'], 'it was created again, under the same id')
  rows.remove('a', asked)
  t.same(shown(), ['a1'], 'the removal was asked for before')
})
