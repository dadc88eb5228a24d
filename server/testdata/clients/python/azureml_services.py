"""Calls a service through azureml, Microsoft's own Python package for AzureML Studio (classic)."""
import os

from azureml import services

URL = os.environ["AMLGATE_REST"] + "/workspaces/demo/services/cardiovascular-risk/execute?api-version=2.0"


# dataframe_service names the columns. Without it the package asks Python for them in a way that only Python 2 knows.
def declared(function):
    function = services.returns((str, int, float, float, float, bool, bool, bool, float, bool))(function)
    return services.dataframe_service(
        Sex=str, Age=int, TotalCholesterol=float, HdlCholesterol=float, SystolicBloodPressure=float,
        Treated=bool, Smoker=bool, Diabetic=bool)(function)


@declared
def risk(Sex, Age, TotalCholesterol, HdlCholesterol, SystolicBloodPressure, Treated, Smoker, Diabetic):
    """Never runs: the package calls the service instead."""


published = services.service(URL, "demo-key")(risk)
print(published("female", 61, 180.5, 47, 124, False, True, False))
print(published.map(["female", "male"], [61, 53], [180.5, 161], [47, 55], [124, 125],
                    [False, True], [True, False], [False, True]))
try:
    services.service(URL, "no-such-key")(risk)("female", 61, 180.5, 47, 124, False, True, False)
except RuntimeError as error:
    print("RuntimeError:", error)
