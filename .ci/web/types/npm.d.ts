/** The description of the npm package fits what the package is made of. */
import type * as built from "../../../viewer/web/src/page/element.js";
import type * as described from "../../../viewer/web/npm/headsplat.js";

type Fits<Built extends Described, Described> = Built;
export type Package = Fits<typeof built, typeof described>;
