// The suites, for an application that has the tables of the tests too.
import './app.ts'

export { contractSuite } from '../contract/contract.ts'
