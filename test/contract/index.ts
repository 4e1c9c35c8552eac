// `rowkeeper/test`: the suites for the resources of a team, and what tests of other routes need.
export { asUser, build, newUser } from './application.ts'
export { contractSuite, isolationSuite, type SuiteOptions } from './contract.ts'
export { type Told, type Watch, type WatchOptions, watch } from './events.ts'
export { client, type Method } from './http.ts'
export type { NodeContext, NodeTest } from './node-test.ts'
export type { SubjectOptions } from './subject.ts'
export type { Test } from './test.ts'
