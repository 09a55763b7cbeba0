/* The one header of the repository, so that the package and its header are always of one version. */
#include "../../../../include/rtcswarm.h"
