// `npm run check:mutations`: fails when a mutation of `mutation-list.ts` no longer fits the sources or the tests. It
// reads text only, so it needs no build.
import { problemsOf } from './mutation.ts'
import { MUTATIONS } from './mutation-list.ts'

const problems = MUTATIONS.flatMap((mutation) => problemsOf(mutation).map((problem) => `${mutation.what}: ${problem}`))
for (const problem of problems) console.error(problem)
console.log(`${MUTATIONS.length} mutations, ${problems.length} problems`)
process.exitCode = problems.length === 0 ? 0 : 1
